// The TypeScript SDK's first line, which speaks the revisions up to 2025-11-25.

import { Client } from "@modelcontextprotocol/sdk/client/index.js";
import { StdioClientTransport } from "@modelcontextprotocol/sdk/client/stdio.js";
import { StreamableHTTPClientTransport } from "@modelcontextprotocol/sdk/client/streamableHttp.js";
import { ResourceUpdatedNotificationSchema } from "@modelcontextprotocol/sdk/types.js";

import { talk } from "./talk.mjs";

const { command, url, events } = JSON.parse(process.argv[2]);
const transport = url
  ? new StreamableHTTPClientTransport(new URL(url))
  : new StdioClientTransport({ command: command[0], args: command.slice(1) });
const client = new Client({ name: "typescript-v1", version: "0" });
let revision; // the transport over standard input and output does not keep it
const keep = transport.setProtocolVersion?.bind(transport);
transport.setProtocolVersion = (version) => {
  revision = version;
  keep?.(version);
};
await client.connect(transport);

async function follow(uri, touch) {
  const told = new Promise((resolve) => {
    client.setNotificationHandler(ResourceUpdatedNotificationSchema, ({ params }) => resolve(params.uri));
  });
  await client.subscribeResource({ uri });
  touch();
  return await told;
}

const said = await talk(client, events, follow);
console.log(JSON.stringify({ revision, ...said }));
await client.close();
