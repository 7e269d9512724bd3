// Clients from npm against the gateway whose base URL is the argument.
import assert from "node:assert/strict"
import { createOpenAICompatible } from "@ai-sdk/openai-compatible"
import { createAnthropic } from "@ai-sdk/anthropic"
import { createOllama } from "ollama-ai-provider-v2"
import { generateText, streamText } from "ai"
import { Ollama } from "ollama"

const base = process.argv[2]
const prompt = "Name the capital of France."
// Ollama takes a temperature among its options alone, and this provider sends the other one beside them.
const exact = { temperature: 0, maxOutputTokens: 16, providerOptions: { ollama: { options: { temperature: 0 } } } }
const providers = {
  "@ai-sdk/openai-compatible": createOpenAICompatible({ name: "node-daemon", baseURL: `${base}/v1`, includeUsage: true })("smol"),
  "@ai-sdk/anthropic": createAnthropic({ baseURL: `${base}/v1`, apiKey: "none" })("smol"),
  "ollama-ai-provider-v2": createOllama({ baseURL: `${base}/api` })("smol"),
}
for (const [name, model] of Object.entries(providers)) {
  const whole = await generateText({ model, prompt, ...exact })
  assert.match(whole.text, /Paris/, name)
  const stream = streamText({ model, prompt, ...exact })
  let text = ""
  for await (const part of stream.textStream) text += part
  assert.match(text, /Paris/, name)
  assert.ok((await stream.usage).outputTokens > 0, name)
  console.log(`ok ${name}`)
}
const ollama = new Ollama({ host: base })
assert.deepEqual((await ollama.list()).models.map((model) => model.name), ["smol"])
let text = ""
for await (const part of await ollama.chat({ model: "smol", messages: [{ role: "user", content: prompt }], stream: true })) {
  text += part.message.content
}
assert.ok(text.length > 0)
await assert.rejects(ollama.chat({ model: "smoll", messages: [{ role: "user", content: prompt }] }), /smol/)
console.log("ok ollama")
