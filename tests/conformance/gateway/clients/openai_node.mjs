// OpenAI's own Node client, unmodified: node openai_node.mjs BASE_URL KEY SCENARIO MODEL
// Prints one JSON object of what it saw. The package lies under $CLIENT_HOME/node_modules.
import { createRequire } from "node:module";

const OpenAI = createRequire(process.env.CLIENT_HOME + "/")("openai");
const [baseURL, apiKey, scenario, model] = process.argv.slice(2);
const client = new OpenAI({ baseURL, apiKey, maxRetries: 0 });
const messages = [{ role: "user", content: "What is six times seven?" }];
const input = messages[0].content;

async function caught(promise) {
  try {
    await promise;
    return { name: "nothing was thrown" };
  } catch (error) {
    return { name: error.constructor.name, status: error.status, code: error.code,
             message: error.message, requestID: error.requestID };
  }
}

const scenarios = {
  async chat() {
    const found = await client.chat.completions.create({ model, messages });
    return { text: found.choices[0].message.content, total: found.usage.total_tokens,
             requestID: found._request_id };
  },
  async stream() {
    let text = "", usage = null;
    const stream = await client.chat.completions.create(
      { model, messages, stream: true, stream_options: { include_usage: true } });
    for await (const chunk of stream) {
      text += chunk.choices[0]?.delta?.content ?? "";
      usage = chunk.usage ?? usage;
    }
    return { text, completion: usage.completion_tokens };
  },
  async responses() {
    const found = await client.responses.create({ model, input });
    const stream = client.responses.stream({ model, input });
    let text = "";
    for await (const event of stream)
      if (event.type === "response.output_text.delta") text += event.delta;
    const final = await stream.finalResponse();
    return { status: found.status, text: found.output_text, streamed: text,
             final: final.output_text };
  },
  error: () => caught(client.chat.completions.create({ model, messages })),
  async cancel() {
    const stream = await client.chat.completions.create({ model, messages, stream: true });
    for await (const _ of stream) break; // leaving the loop aborts the request
    return { left: true };
  },
  timeout: () => caught(client.chat.completions.create({ model, messages }, { timeout: 500 })),
};

console.log(JSON.stringify(await scenarios[scenario]()));
