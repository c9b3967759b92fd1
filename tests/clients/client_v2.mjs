// The TypeScript SDK's second line, which speaks both revisions.

import { Client, StreamableHTTPClientTransport } from "@modelcontextprotocol/client";
import { StdioClientTransport } from "@modelcontextprotocol/client/stdio";

import { talk } from "./talk.mjs";

const { command, url, events, revision } = JSON.parse(process.argv[2]);
const modern = revision >= "2026";
const transport = url
  ? new StreamableHTTPClientTransport(new URL(url))
  : new StdioClientTransport({ command: command[0], args: command.slice(1) });
const client = new Client(
  { name: "typescript-v2", version: "0" },
  { versionNegotiation: { mode: modern ? { pin: revision } : "legacy" } },
);
await client.connect(transport);

async function follow(uri, touch) {
  const told = new Promise((resolve) => {
    client.setNotificationHandler("notifications/resources/updated", ({ params }) => resolve(params.uri));
  });
  const stream = modern
    ? await client.listen({ resourceSubscriptions: [uri] })
    : await client.subscribeResource({ uri });
  touch();
  const first = await told;
  if (modern) await stream.close();
  return first;
}

const said = await talk(client, events, follow);
console.log(JSON.stringify({ revision: client.getNegotiatedProtocolVersion(), ...said }));
await client.close();
