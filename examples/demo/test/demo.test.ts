import { TestKafka } from "@effect-ktables/testing"
import { assert, layer } from "@effect/vitest"
import { Effect } from "effect"
import { start } from "../../support/exampleProcess.ts"

const main = new URL("../src/main.ts", import.meta.url)

const lastLine =
  /^The table's (\d+) entries equal what 3 writers wrote \((\d+) announced, (\d+) upgraded, (\d+) removed\)\./

layer(TestKafka.layer, { excludeTestServices: true })("the demo", (it) => {
  it.effect("without a cluster it runs on the embedded Kafka and ends by itself", () =>
    Effect.gen(function* () {
      const demo = yield* start(main, { env: { KAFKA_BROKERS: undefined } })
      yield* demo.line(/^the table is caught up: \d+ records replayed in /)
      const [, left, announced, upgraded, removed] = lastLine.exec(yield* demo.line(lastLine)) ?? []
      assert.strictEqual(yield* demo.exitCode, 0)
      assert.isAbove(Number(upgraded), 0)
      assert.isAbove(Number(removed), 0)
      assert.strictEqual(Number(left), Number(announced) - Number(removed))
      assert.match(demo.lines("stdout").at(-1) ?? "", lastLine)
      assert.match(demo.lines("stdout").at(-1) ?? "", /pnpm demo --page/)
      assert.deepStrictEqual(demo.lines("stderr"), [])
    }).pipe(Effect.scoped)
  )

  it.effect("on a cluster it says which topic it leaves, and --topic shows that topic", () =>
    Effect.gen(function* () {
      const { brokers } = yield* TestKafka.TestKafka
      const env = { KAFKA_BROKERS: brokers.join(",") }
      const demo = yield* start(main, { env })
      const [, left] = lastLine.exec(yield* demo.line(lastLine)) ?? []
      assert.strictEqual(yield* demo.exitCode, 0)
      const topic = / The topic (ktables-demo-[0-9a-f]+) stays on /.exec(demo.lines("stdout").at(-1) ?? "")?.[1] ?? ""
      assert.notStrictEqual(topic, "")

      const follower = yield* start(main, { args: ["--topic", topic], env })
      yield* follower.line(/^\+ \S+ {2}\{"version":/)
      yield* follower.terminate
      assert.strictEqual(yield* follower.exitCode, 0)
      const entries = follower.lines("stdout").filter((line) => line.startsWith("+ "))
      assert.strictEqual(entries.length, Number(left))
      assert.strictEqual(
        follower.lines("stdout").at(-1),
        `${topic}: ${left} entries; 0 changes came in while it was shown.`
      )
    }).pipe(Effect.scoped)
  )

  it.effect("a missing topic and an unreachable broker end in one line and exit code 1", () =>
    Effect.gen(function* () {
      const { brokers } = yield* TestKafka.TestKafka
      const missing = yield* TestKafka.uniqueName("missing")
      const silence = /no broker has answered for 3 s: 127\.0\.0\.1:1 \(.+\); trying for 5 s in all$/
      const cases = [
        { args: ["--topic", missing], brokers: brokers.join(","), says: `topic ${missing} does not exist` },
        { args: ["--topic", missing], brokers: "127.0.0.1:1", warns: silence, says: "no broker answered" },
        { args: [], brokers: "127.0.0.1:1", warns: silence, says: "no broker answered" },
        { args: ["--topic", missing], brokers: undefined, says: "--topic needs a cluster" },
        { args: ["--tropic", missing], brokers: undefined, says: "Unknown option '--tropic'" }
      ]
      for (const { args, brokers, says, warns } of cases) {
        const demo = yield* start(main, { args, env: { KAFKA_BROKERS: brokers } })
        assert.strictEqual(yield* demo.exitCode, 1, says)
        const lines = [...demo.lines("stderr")]
        // Whoever waits is told why, before it ends.
        if (warns !== undefined) assert.match(lines.shift() ?? "", warns)
        assert.strictEqual(lines.length, 1, lines.join("\n"))
        assert.include(lines[0], says)
      }
    }).pipe(Effect.scoped)
  )

  it.effect("--page serves the tables with a live page, while writers go on, until it is ended", () =>
    Effect.gen(function* () {
      const demo = yield* start(main, { args: ["--page", "--port", "0"], env: { KAFKA_BROKERS: undefined } })
      const [, url = ""] = /at (http\S+) until/.exec(yield* demo.line(/^The tables are at /)) ?? []
      const read = (path: string) => Effect.promise(() => fetch(`${url}${path}`).then((response) => response.text()))
      assert.include(yield* read("/"), "<title>ktables</title>")
      const position = Effect.map(read("/tables"), (text) => {
        const { tables } = JSON.parse(text) as { readonly tables: ReadonlyArray<Record<"name" | "at", string>> }
        assert.deepStrictEqual(
          tables.map(({ name }) => name),
          ["packages", "packages-without-dependencies"]
        )
        return tables[0]!.at
      })
      const seen = new Set<string>()
      yield* Effect.repeat(position, { until: (at) => seen.add(at).size > 25 })
      yield* demo.terminate
      assert.strictEqual(yield* demo.exitCode, 0)
    }).pipe(Effect.scoped)
  )

  it.effect("--help tells the usage", () =>
    Effect.gen(function* () {
      const demo = yield* start(main, { args: ["--help"] })
      yield* demo.line(/KAFKA_BROKERS=host:port pnpm demo --topic T/)
      assert.strictEqual(yield* demo.exitCode, 0)
    }).pipe(Effect.scoped)
  )
})
