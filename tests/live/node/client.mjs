// OpenAI's own Node client, unmodified, against a gateway: node client.mjs BASE_URL MODEL PARALLEL
// Prints one JSON object with what it saw.
import OpenAI from "openai";

const [baseURL, model, parallel] = process.argv.slice(2);
const client = new OpenAI({ baseURL, apiKey: "none", maxRetries: 0, timeout: 20000 });
const messages = [{ role: "user", content: "What is six times seven?" }];
const seen = {};

async function failing(call) {
  try {
    await call();
    return null;
  } catch (error) {
    return { kind: error.constructor.name, status: error.status, code: error.code,
             id: error.requestID };
  }
}

const chat = await client.chat.completions.create({ model: parallel, messages });
seen.chat = { text: chat.choices[0].message.content, finish: chat.choices[0].finish_reason,
              usage: chat.usage, plait: chat.plait, id: chat._request_id };

const stream = await client.chat.completions.create({
  model: parallel, messages, stream: true, stream_options: { include_usage: true } });
seen.stream = { text: "", reasoning: "", usage: null };
for await (const chunk of stream) {
  seen.stream.text += chunk.choices[0]?.delta?.content ?? "";
  seen.stream.reasoning += chunk.choices[0]?.delta?.reasoning ?? "";
  seen.stream.usage = chunk.usage ?? seen.stream.usage;
}

const response = await client.responses.create({ model: parallel, input: messages[0].content });
seen.response = { text: response.output_text, status: response.status };
const events = await client.responses.create({
  model: parallel, input: messages[0].content, stream: true });
seen.events = [];
for await (const event of events) seen.events.push(event.type);

seen.bad = await failing(() => client.chat.completions.create({ model, messages: [] }));
seen.missing = await failing(() => client.chat.completions.create({
  model: "plait/plan:nowhere", messages }));
seen.timeout = await failing(() => client.chat.completions.create(
  { model: parallel, messages: [{ role: "user", content: "slow" }] }, { timeout: 300 }));

const left = await client.chat.completions.create({
  model: parallel, messages: [{ role: "user", content: "slow" }], stream: true });
for await (const _ of left) break; // leaving the loop aborts the request
seen.models = [];
for await (const entry of client.models.list()) seen.models.push(entry.id);
console.log(JSON.stringify(seen));
