import { TestKafka } from "@effect-ktables/testing"
import { JavaPeer } from "@effect-ktables/testing/interop"
import { assert, describe, it } from "@effect/vitest"
import { Effect } from "effect"
import { writeFileSync } from "node:fs"
import * as path from "node:path"
import { parsed, run, start } from "../support/ktables.ts"
import { folder } from "../support/onKafka.ts"

const missing = JavaPeer.unavailable()
const because = missing === undefined ? "" : ` (skipped: ${missing})`

/** Numbers of the protocol: a request, a type of resource, an operation. */
const PRODUCE = 0
const TOPIC = 2
const ALL = 2
const WRITE = 4
const DESCRIBE_CONFIGS = 10

describe.skipIf(missing !== undefined)(`ktables and brokers that fail${because}`, () => {
  it.live(
    "watch misses nothing while the broker is cut off and killed",
    () =>
      Effect.gen(function* () {
        const cluster = yield* TestKafka.startCluster({ nodes: 1, proxies: true })
        const java = yield* JavaPeer.make({ brokers: cluster.innerBrokers })
        const [node] = cluster.nodes
        const topic = yield* TestKafka.uniqueName("cli")
        yield* java.createTopic({ topic, partitions: 2, config: { "cleanup.policy": "compact" } })
        let count = 0
        const write = Effect.suspend(() => {
          const records = Array.from({ length: 20 }, () => {
            const n = count++
            return { key: `k${n % 7}`, value: n % 11 === 5 ? null : String(n) }
          })
          return java.produce({ topic, records: [...records, { key: "mark", value: `-${count}` }] })
        })
        const written = (stdout: string) =>
          parsed(stdout.slice(0, stdout.lastIndexOf("\n"))).some(({ value }) => value === -count)
        yield* write
        const watching = yield* start(["watch", topic], { env: { KAFKA_BROKERS: cluster.brokers.join(",") } })
        yield* watching.until((stdout) => stdout.includes('"complete"'))
        for (let round = 0; round < 3; round++) {
          yield* node!.proxy!.refuse
          yield* node!.proxy!.cut
          yield* write
          yield* node!.proxy!.accept
          yield* write
          yield* watching.until(written)
        }
        yield* node!.kill
        yield* node!.start
        yield* write
        yield* watching.until(written)
        watching.signal("SIGINT")
        const { code, stdout } = yield* watching.ended
        assert.strictEqual(code, 130)
        assert.isTrue(stdout.endsWith("\n"))
        const shown = new Map<string, string>()
        for (const { change, key, value } of parsed(stdout)) {
          if (change === "deleted") shown.delete(key)
          else if (change !== "complete") shown.set(key, String(value))
        }
        const { table } = yield* java.readCommitted(topic)
        const plain = (text: string) => Buffer.from(text, "base64").toString()
        assert.deepStrictEqual(
          new Map([...shown].sort()),
          new Map(Array.from(table, ([key, value]) => [plain(key), plain(value)] as const).sort())
        )
        // No record is said twice, and those of a key come in their order.
        const last = new Map<string, number>()
        for (const { change, key, offset, partition } of parsed(stdout)) {
          if (change !== "set" && change !== "entry") continue
          assert.isAbove(offset, last.get(`${partition} ${key}`) ?? -1)
          last.set(`${partition} ${key}`, offset)
        }
      }).pipe(Effect.scoped),
    300_000
  )

  it.live(
    "a read that comes to a standstill shows how far it was and ends with 3, and a write without an answer with 6",
    () =>
      Effect.gen(function* () {
        const cluster = yield* TestKafka.startCluster({ nodes: 1, proxies: true })
        const java = yield* JavaPeer.make({ brokers: cluster.innerBrokers })
        const { accept, cut, dropNextAnswer, freeze, limit, refuse, thaw } = cluster.nodes[0]!.proxy!
        const env = { KAFKA_BROKERS: cluster.brokers.join(",") }
        const topic = yield* TestKafka.uniqueName("cli")
        yield* java.createTopic({ topic, config: { "cleanup.policy": "compact" } })
        const value = JSON.stringify("x".repeat(1000))
        for (let i = 0; i < 8; i++) {
          const records = Array.from({ length: 250 }, (_, n) => ({ key: `k${250 * i + n}`, value }))
          yield* java.produce({ topic, records })
        }

        yield* limit(300_000)
        const past = yield* start(["at", topic, "now", "--timeout", "3"], { terminal: true, env })
        yield* past.until((stdout) => new RegExp(`reading ${topic}: \\d s of 3 s \\(--timeout\\)`).test(stdout))
        const late = yield* past.ended
        assert.strictEqual(late.code, 3, late.stdout)
        assert.match(late.stdout, /was not read within 3000 ms, \d+ of 2000 offsets were.*--timeout gives it longer/)
        const read = yield* start(["ls", topic, "--timeout", "2"], { terminal: true, env })
        yield* read.until((stdout) => /reading \S+: [\d,]+ of 2,000 offsets, [1-9]\d? %, \d+ s left/.test(stdout))
        yield* freeze()
        const stuck = yield* read.ended
        assert.strictEqual(stuck.code, 3, stuck.stdout)
        assert.match(stuck.stdout, /nothing of \S+ was read for \d s, at [1-9]\d* of 2000 offsets \(partition 0: /)
        assert.include(stuck.stdout, "--timeout")
        yield* thaw
        yield* limit(undefined)

        const dropped = yield* dropNextAnswer(PRODUCE)
        const write = yield* start(["set", topic, "unknown", "1", "--timeout", "3"], { env })
        yield* dropped
        yield* refuse
        yield* cut
        const { code, stderr, stdout } = yield* write.ended
        assert.deepStrictEqual([code, stdout], [6, ""], stderr)
        assert.include(stderr, "is unknown")
        yield* accept
        const { table } = yield* java.readCommitted(topic)
        assert.isTrue(table.has(Buffer.from("unknown").toString("base64")))
      }).pipe(Effect.scoped),
    300_000
  )

  it.live(
    "a secured cluster is reached with secrets from a file, the environment or the terminal, which are nowhere printed",
    () =>
      Effect.gen(function* () {
        const cluster = yield* TestKafka.startSecure()
        const java = yield* JavaPeer.make({ brokers: cluster.brokers })
        const topic = yield* TestKafka.uniqueName("cli")
        yield* java.createTopic({ topic, config: { "cleanup.policy": "compact" } })
        const files = yield* folder
        const [ca, password] = [path.join(files, "ca.pem"), path.join(files, "password")]
        writeFileSync(ca, cluster.ca)
        writeFileSync(password, `${cluster.users.alice}\n`)
        const tls = ["--brokers", cluster.saslSsl, "--tls-ca", ca, "--username", "alice", "--timeout", "10"]
        const secret = cluster.users.alice
        const byFile = yield* run(["set", topic, "k", "1", ...tls, "--password-file", password])
        assert.strictEqual(byFile.code, 0, byFile.stderr)
        const byEnvironment = yield* run(["get", topic, "k", "--log-level", "all"], {
          env: {
            KAFKA_BROKERS: cluster.saslSsl,
            KAFKA_TLS_CA: ca,
            KAFKA_SASL_MECHANISM: "plain",
            KAFKA_USERNAME: "alice",
            KAFKA_PASSWORD: secret
          }
        })
        assert.strictEqual(byEnvironment.code, 0, byEnvironment.stderr)
        assert.strictEqual(parsed(byEnvironment.stdout)[0].value, 1)
        const asked = yield* start(["get", topic, "k", "-o", "ndjson", ...tls], { terminal: true })
        yield* asked.until((stdout) => stdout.includes("Password of alice"))
        asked.type(`${secret}\r`)
        const byHand = yield* asked.ended
        assert.strictEqual(byHand.code, 0, byHand.stdout)
        assert.include(byHand.stdout, '"value":1,')
        const refused = yield* run(["get", topic, "k", ...tls], { env: { KAFKA_PASSWORD: "not-the-password" } })
        assert.deepStrictEqual([refused.code, refused.stdout], [3, ""])
        assert.match(refused.stderr, /refused this client/)
        const plaintext = yield* run(["topics", "--brokers", cluster.saslSsl, "--timeout", "5"])
        assert.deepStrictEqual([plaintext.code, plaintext.stdout], [3, ""])
        assert.match(plaintext.stderr, /TLS/)
        const byFlags = [...tls, "--password-file", password]
        const exported = path.join(files, "exported.ndjson")
        for (const [args, said] of [
          [["topics"], `"topic":"${topic}"`],
          [["ls", topic], '"key":"k"'],
          [["history", topic, "k"], '"complete":true'],
          [["at", topic, "now"], '"complete":true'],
          [["diff", topic, "0:0", "now"], '"change":"added"'],
          [["doctor", topic], '"severity":"note"'],
          [["export", topic, exported], ""],
          [["import", topic, exported, "--yes"], '"unchanged":1'],
          [["delete", topic, "absent", "--yes"], '"offset":1']
        ] as const) {
          const { code, stderr, stdout } = yield* run([...args, ...byFlags])
          assert.strictEqual(code, 0, stderr)
          assert.include(stdout, said, args.join(" "))
          assert.notInclude(stdout + stderr, secret)
        }
        for (const [args, said] of [
          [["watch", topic], '"complete"'],
          [["serve", topic, "--port", "0"], "serving"]
        ] as const) {
          const going = yield* start([...args, ...byFlags])
          yield* going.until((stdout) => stdout.includes(said))
          if (args[0] === "serve") {
            const [address] = /http:\S+/.exec(going.stdout())!
            const read = Effect.promise(async () => (await fetch(`${address}/tables/${topic}/entries/k`)).text())
            assert.strictEqual(yield* Effect.repeat(read, { until: (text) => text === "1", times: 10_000 }), "1")
          }
          going.signal("SIGINT")
          assert.strictEqual((yield* going.ended).code, 130)
        }
        const rule = (principal: string, operation: number, permission: "allow" | "deny") =>
          cluster.admin.createAcl({ resourceType: TOPIC, resource: topic, principal, operation, permission })
        // Where there is one rule, what no rule allows is denied.
        yield* rule("User:*", ALL, "allow")
        yield* rule("User:alice", DESCRIBE_CONFIGS, "deny")
        const unknown = yield* run(["doctor", topic, ...byFlags])
        assert.deepStrictEqual([unknown.code, parsed(unknown.stdout)[0].severity], [7, "warning"], unknown.stderr)
        assert.match(unknown.stdout, /"code":"config-unknown","severity":"warning".*"do":"Grant .*ACL DescribeConfigs/)
        yield* rule("User:alice", WRITE, "deny")
        const denied = yield* run(["set", topic, "k", "2", ...tls, "--password-file", password])
        assert.deepStrictEqual([denied.code, denied.stdout], [3, ""], denied.stderr)
        assert.match(denied.stderr, /not allowed to \w+ [^]* grant the ACL/)
        for (const { stderr, stdout } of [denied, byFile, byEnvironment, byHand, refused]) {
          assert.notInclude(stdout + stderr, secret)
          assert.notInclude(stdout + stderr, "not-the-password")
        }
      }).pipe(Effect.scoped),
    300_000
  )
})
