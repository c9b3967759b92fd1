// What every TypeScript client says to the server; the answers are checked by test_conversation.py.

import { appendFileSync, readFileSync } from "node:fs";

const RUN = "karn://runs/oscillate";

// Says it all by a connected client. `follow(uri, touch)` is the client's own way to be told of a change:
// it subscribes, calls touch, and resolves to the address that it was told of.
export async function talk(client, events, follow) {
  const call = (name, args) => client.callTool({ name, arguments: args });
  const read = async (uri) => (await client.readResource({ uri })).contents[0];

  const pages = [];
  let cursor = null;
  do {
    const given = cursor === null ? {} : { cursor };
    const { structuredContent } = await call("internal_op_summary", { run_dir: "oscillate", limit: 1, ...given });
    pages.push(structuredContent);
    cursor = structuredContent.next_cursor;
  } while (cursor !== null);

  return {
    server: client.getServerVersion(),
    instructions: client.getInstructions(),
    tools: (await client.listTools()).tools.map((tool) => tool.name),
    resources: (await client.listResources()).resources.map((resource) => resource.uri),
    templates: (await client.listResourceTemplates()).resourceTemplates.map((template) => template.uriTemplate),
    prompts: (await client.listPrompts()).prompts.map((prompt) => prompt.name),
    verdict: await call("thrash_verdict", { run_dir: "oscillate" }),
    pages,
    sql: await call("query_sql", { sql: "SELECT run_dir FROM runs ORDER BY run_dir" }),
    refused: await call("query_sql", { sql: "SELECT * FROM slot_trash" }),
    guide: await read("karn://guide"),
    runs: await read("karn://runs"),
    view: await read(`${RUN}/slot_thrash`),
    prompt: await client.getPrompt({ name: "diagnose_thrash", arguments: { run_dir: "oscillate" } }),
    completion: await client.complete({
      ref: { type: "ref/prompt", name: "diagnose_thrash" },
      argument: { name: "run_dir", value: "osc" },
    }),
    // Last, since it writes: the run's last event once more.
    told: await follow(RUN, () => appendFileSync(events, lastLine(events))),
  };
}

function lastLine(path) {
  return `${readFileSync(path, "utf8").trimEnd().split("\n").at(-1)}\n`;
}
