import { TestKafka } from "@effect-ktables/testing"
import { assert, layer } from "@effect/vitest"
import { Effect, Schedule, Schema } from "effect"
import { start } from "../../support/exampleProcess.ts"

const main = new URL("../src/main.ts", import.meta.url)
const set = new URL("../src/set.ts", import.meta.url)
const compare = new URL("../src/compare.ts", import.meta.url)

const Health = Schema.Struct({
  status: Schema.String,
  flags: Schema.Int,
  partitions: Schema.Array(Schema.Struct({ partition: Schema.Int, connected: Schema.Boolean, lag: Schema.Int }))
})

const get = (url: string) =>
  Effect.promise(async () => {
    const response = await fetch(url)
    return { status: response.status, text: await response.text() }
  })

layer(TestKafka.layer, { excludeTestServices: true })("feature flags", (it) => {
  it.effect("a flag set by one process changes the next answers of a server", () =>
    Effect.gen(function* () {
      const { brokers } = yield* TestKafka.TestKafka
      const env = { KAFKA_BROKERS: brokers.join(","), TOPIC: yield* TestKafka.uniqueName("flags"), PORT: "0" }

      const server = yield* start(main, { env })
      const listening = yield* server.line(/Listening on http:/)
      const url = `http://localhost:${/:(\d+)$/.exec(listening.replaceAll("\u001b[0m", ""))?.[1]}`
      const answers = (text: string) =>
        get(`${url}/greeting`).pipe(
          Effect.repeat({ until: (answer) => answer.text === text, schedule: Schedule.spaced("20 millis") }),
          Effect.timeout("20 seconds")
        )
      const flag = Effect.fnUntraced(function* (state: string) {
        const setter = yield* start(set, { args: ["new-greeting", state], env })
        yield* setter.line(new RegExp(`^new-greeting is ${state} as of offset \\d+$`))
        assert.strictEqual(yield* setter.exitCode, 0)
      })

      assert.deepStrictEqual(yield* get(`${url}/greeting`), { status: 200, text: "Hello." })
      yield* flag("on")
      yield* answers("Welcome!")

      const health = yield* get(`${url}/health`)
      assert.strictEqual(health.status, 200)
      assert.deepStrictEqual(yield* Schema.decodeEffect(Schema.fromJsonString(Health))(health.text), {
        status: "CaughtUp",
        flags: 1,
        partitions: [{ partition: 0, connected: true, lag: 0 }]
      })

      yield* flag("off")
      yield* answers("Hello.")
      yield* flag("none")
      yield* get(`${url}/health`).pipe(
        Effect.repeat({ until: ({ text }) => text.includes('"flags":0'), schedule: Schedule.spaced("20 millis") }),
        Effect.timeout("20 seconds")
      )
    }).pipe(Effect.scoped)
  )

  it.effect("what differs between the flags of two topics is shown, and what a change of either makes of it", () =>
    Effect.gen(function* () {
      const { brokers } = yield* TestKafka.TestKafka
      const env = { KAFKA_BROKERS: brokers.join(",") }
      const [staging, production] = [yield* TestKafka.uniqueName("staging"), yield* TestKafka.uniqueName("production")]
      const flag = Effect.fnUntraced(function* (topic: string, name: string, state: string) {
        const setter = yield* start(set, { args: [name, state], env: { ...env, TOPIC: topic } })
        assert.strictEqual(yield* setter.exitCode, 0)
      })
      yield* flag(staging, "greeting", "on")
      yield* flag(production, "greeting", "off")
      const comparing = yield* start(compare, { args: [staging, production], env })
      yield* comparing.line(new RegExp(`^greeting is on in ${staging} and off in ${production}$`))
      yield* flag(production, "greeting", "on")
      yield* comparing.line(/^no difference$/)
      yield* flag(production, "checkout", "on")
      yield* comparing.line(new RegExp(`^checkout is in ${production} only$`))
    }).pipe(Effect.scoped)
  )
})
