import { TestKafka } from "@effect-ktables/testing"
import { assert, layer } from "@effect/vitest"
import { Effect, Schema } from "effect"
import Fastify from "fastify"
import { start } from "../../support/exampleProcess.ts"
import { Contact } from "../src/contacts.ts"

const main = new URL("../src/main.ts", import.meta.url)

const request = (url: string, method: string, body?: unknown) =>
  Effect.promise(async () => {
    const json =
      body === undefined ? {} : { body: JSON.stringify(body), headers: { "content-type": "application/json" } }
    const response = await fetch(url, { method, ...json })
    return { status: response.status, text: await response.text() }
  })

layer(TestKafka.layer, { excludeTestServices: true })("plain code", (it) => {
  it.effect("a server without effects reads its own writes, follows changes, and ends when it is asked to", () =>
    Effect.gen(function* () {
      const { brokers } = yield* TestKafka.TestKafka
      const env = { KAFKA_BROKERS: brokers.join(","), TOPIC: yield* TestKafka.uniqueName("contacts"), PORT: "0" }
      const server = yield* start(main, { env })
      const url = `http://localhost:${/:(\d+)$/.exec(yield* server.line(/^listening on http:/))?.[1]}/contacts/ada`

      assert.strictEqual((yield* request(url, "GET")).status, 404)
      assert.strictEqual((yield* request(url, "PUT", { email: 1 })).status, 400)
      for (let n = 0; n < 20; n++) {
        const contact = { email: `ada-${n}@example.org` }
        assert.strictEqual((yield* request(url, "PUT", contact)).status, 204)
        assert.deepStrictEqual(yield* request(url, "GET"), { status: 200, text: JSON.stringify(contact) })
      }
      yield* server.line(/^ada is reached at ada-19@example\.org$/)
      assert.strictEqual((yield* request(url, "DELETE")).status, 204)
      assert.strictEqual((yield* request(url, "GET")).status, 404)
      yield* server.line(/^ada is gone$/)

      yield* server.terminate
      yield* server.line(/^closed$/)
      assert.strictEqual(yield* server.exitCode, 0)
    }).pipe(Effect.scoped)
  )

  it.effect("a value of a class is taken for a stream by what sends it, and its encoded form is not", () =>
    Effect.promise(async () => {
      const ada = new Contact({ email: "ada@example.org" })
      const server = Fastify()
      server.get("/value", (_, reply) => reply.send(ada))
      server.get("/encoded", (_, reply) => reply.send(Schema.encodeSync(Contact)(ada)))
      const value = await server.inject("/value")
      assert.strictEqual(value.statusCode, 500)
      assert.include(value.body, "Received an instance of Contact")
      assert.deepStrictEqual((await server.inject("/encoded")).json(), { email: "ada@example.org" })
      await server.close()
    })
  )

  it.effect("a start that fails rejects with an error that says why", () =>
    Effect.gen(function* () {
      const server = yield* start(main, { env: { TOPIC: "no topic" } })
      assert.notStrictEqual(yield* server.exitCode, 0)
      assert.include(server.lines("stderr").join("\n"), "invalid topic definition no topic")
    }).pipe(Effect.scoped)
  )
})
