import { type TestAdmin, TestKafka } from "@effect-ktables/testing"
import { JavaPeer } from "@effect-ktables/testing/interop"
import { assert, describe, it } from "@effect/vitest"
import { Effect } from "effect"
import { readFileSync, writeFileSync } from "node:fs"
import * as path from "node:path"
import { parsed, run } from "../support/ktables.ts"
import { refusingPort } from "../support/onKafka.ts"

const missing = JavaPeer.unavailable()
const because = missing === undefined ? "" : ` (skipped: ${missing})`

interface Ill {
  readonly replicationFactor?: number
  readonly config?: Readonly<Record<string, string>>
  readonly records?: ReadonlyArray<{
    readonly key: string | null
    readonly value: string | Uint8Array | null
    readonly partition?: number
    readonly timestamp?: number
  }>
  /** Settings that the topic gets after its records. */
  readonly later?: Readonly<Record<string, string>>
  readonly args?: ReadonlyArray<string>
  readonly severity: "clean" | "note" | "warning" | "error"
  /** Its findings. */
  readonly codes: ReadonlyArray<string>
  /** What one of them says. */
  readonly says?: RegExp
  /** Of the first finding. */
  readonly at?: { readonly partition: number; readonly offset?: number; readonly key?: string }
}

const day = 86_400_000
const exit = { clean: 0, note: 0, warning: 7, error: 8 } as const
const large = JSON.stringify("x".repeat(900_000))

const cases: Readonly<Record<string, Ill>> = {
  healthy: { records: [{ key: "a", value: "1" }], severity: "clean", codes: [] },
  "not compacted": {
    config: { "cleanup.policy": "delete", "retention.ms": String(day) },
    severity: "error",
    codes: ["policy-delete"],
    says: /retention\.ms=86400000 \(1 d\).*do.*cleanup\.policy=compact/
  },
  expiring: {
    config: { "cleanup.policy": "compact,delete", "retention.ms": String(7 * day) },
    severity: "warning",
    codes: ["policy-compact-delete"],
    says: /entries expire after retention\.ms=604800000 \(7 d\)/
  },
  "expiring never": {
    config: { "cleanup.policy": "compact,delete", "retention.ms": "-1" },
    severity: "note",
    codes: ["policy-compact-delete"]
  },
  "one replica": { replicationFactor: 1, severity: "warning", codes: ["one-replica"], at: { partition: 0 } },
  "one replica in sync is enough": {
    config: { "min.insync.replicas": "1" },
    severity: "warning",
    codes: ["min-insync-low"]
  },
  "all replicas have to be in sync": {
    config: { "min.insync.replicas": "3" },
    severity: "warning",
    codes: ["min-insync-high"],
    says: /min\.insync\.replicas is 3 of 3.*min\.insync\.replicas=2/
  },
  "tombstones kept for a moment": {
    config: { "delete.retention.ms": "1000" },
    severity: "warning",
    codes: ["delete-retention"],
    says: /delete\.retention\.ms is 1000 \(1 s\)/
  },
  "a key in a foreign partition": {
    records: [
      { key: "a", value: "1" },
      { key: "strange", value: "1", partition: 0 },
      { key: "strange", value: "1", partition: 1 }
    ],
    severity: "warning",
    codes: ["foreign-partition"],
    says: /1 record of 3 in another partition/
  },
  "records that do not decode": {
    records: [
      { key: "a", value: "1" },
      { key: "b", value: Uint8Array.of(0xff) }
    ],
    severity: "warning",
    codes: ["value-undecodable"],
    says: /1 record of 2 whose value is not json.*key b/,
    at: { partition: 0, offset: 1, key: "b" }
  },
  "keys that do not decode": {
    args: ["--key", "json"],
    records: [{ key: "a", value: "1" }],
    severity: "warning",
    codes: ["key-undecodable"]
  },
  "null keys": {
    config: { "cleanup.policy": "delete" },
    records: [{ key: null, value: "1", partition: 1 }],
    later: { "cleanup.policy": "compact" },
    severity: "warning",
    codes: ["null-key"],
    at: { partition: 1, offset: 0 }
  },
  tombstones: {
    records: [{ key: "a", value: null, timestamp: Date.now() - 3 * 3_600_000 }],
    severity: "note",
    codes: ["tombstones"],
    says: /1 record of 1 are tombstones, the oldest 3 h old/
  },
  "mostly tombstones": {
    records: Array.from({ length: 1200 }, (_, i) => ({ key: `k${i}`, value: null })),
    severity: "warning",
    codes: ["tombstones"]
  },
  "a log much larger than its entries": {
    records: Array.from({ length: 20 }, () => ({ key: "a", value: large })),
    severity: "warning",
    codes: ["log-size"],
    says: /20 records of 18000060 bytes for 1 entry of 900003 bytes/
  },
  "more than is read in time": {
    records: Array.from({ length: 20 }, (_, i) => ({ key: `k${i}`, value: large })),
    args: ["--scan-time", "0.000001"],
    severity: "note",
    codes: ["not-all-read"],
    says: /0 of 20 offsets were read.*--scan-time/
  }
}

describe.skipIf(missing !== undefined)(`ktables doctor on Kafka${because}`, () => {
  it.live(
    "finds a topic that was made ill in each way, and nothing in a healthy one",
    () =>
      Effect.gen(function* () {
        const cluster = yield* TestKafka.startCluster({ nodes: 3 })
        const java = yield* JavaPeer.make({ brokers: cluster.brokers })
        const env = { KAFKA_BROKERS: cluster.brokers.join(",") }
        const made = Effect.fnUntraced(function* ({ config, replicationFactor = 3 }: Ill) {
          const topic = yield* TestKafka.uniqueName("doctor")
          const settings = { "cleanup.policy": "compact", "min.insync.replicas": "2", ...config }
          const own = replicationFactor === 1 ? { ...settings, "min.insync.replicas": "1" } : settings
          yield* cluster.admin.createTopic({ topic, partitions: 2, replicationFactor, config: own })
          yield* cluster.admin.awaitPartition(topic, 0, ({ inSync }) => inSync.length === replicationFactor)
          yield* cluster.admin.awaitPartition(topic, 1, ({ inSync }) => inSync.length === replicationFactor)
          return topic
        })
        for (const [name, ill] of Object.entries(cases)) {
          const topic = yield* made(ill)
          const { records = [] } = ill
          for (let i = 0; i < records.length; i += 100) {
            yield* java.produce({ topic, records: records.slice(i, i + 100) })
          }
          if (ill.later !== undefined) yield* cluster.admin.alterConfig(topic, ill.later)
          const { code, stderr, stdout } = yield* run(["doctor", topic, ...(ill.args ?? [])], { env })
          const [found] = parsed(stdout)
          const codes = found.findings.map((finding: { readonly code: string }) => finding.code)
          assert.deepStrictEqual([name, found.severity, codes], [name, ill.severity, ill.codes], stdout)
          assert.strictEqual(code, exit[ill.severity], stderr)
          if (ill.says !== undefined) assert.match(stdout, ill.says)
          if (ill.at !== undefined) {
            const { key, offset, partition } = found.findings[0]
            const { key: wantedKey, offset: wantedOffset, partition: wantedPartition } = ill.at
            assert.deepStrictEqual([offset, key], [wantedOffset, wantedKey])
            if (ill.at.key === undefined) assert.strictEqual(partition, wantedPartition)
          }
        }

        const open = yield* made({ severity: "note", codes: [] })
        yield* java.beginTransaction({ transactionalId: open })
        yield* java.produce({ topic: open, records: [{ key: "a", value: "1" }], transactionalId: open })
        const young = yield* run(["doctor", open], { env })
        assert.strictEqual(young.code, 0, young.stderr)
        assert.match(young.stdout, /"code":"open-transaction","severity":"note".*from offset 0 on/)
        yield* java.abortTransaction(open)
        yield* java.beginTransaction({ transactionalId: open })
        const old = [{ key: "a", value: "1", timestamp: Date.now() - 3_600_000 }]
        yield* java.produce({ topic: open, records: old, transactionalId: open })
        const terminal = yield* run(["doctor", open], { env, terminal: true })
        assert.strictEqual(terminal.code, 7, terminal.stdout)
        assert.match(
          terminal.stdout,
          /: 1 warning; 0 records of 0 bytes[^]*warning open-transaction: .*for 1 h[^]*do: .*abort/
        )
        yield* java.abortTransaction(open)
        const ended = yield* run(["doctor", open, "--json"], { env, terminal: true })
        assert.strictEqual(ended.code, 0)
        assert.strictEqual(parsed(ended.stdout.slice(ended.stdout.indexOf("{")))[0].severity, "clean")

        const nowhere = yield* run(["doctor", `${open}-not`], { env })
        assert.deepStrictEqual([nowhere.code, nowhere.stdout], [4, ""])
        const away = yield* run(["doctor", "t", "--brokers", `127.0.0.1:${yield* refusingPort}`, "--timeout", "1"])
        assert.deepStrictEqual([away.code, away.stdout], [3, ""])
      }).pipe(Effect.scoped),
    600_000
  )

  it.live(
    "finds damaged batches, and replicas and leaders that a lost broker has taken along",
    () =>
      Effect.gen(function* () {
        const { admin, brokers, nodes } = yield* TestKafka.startCluster({ nodes: 3 })
        const java = yield* JavaPeer.make({ brokers })
        const env = { KAFKA_BROKERS: brokers.join(",") }
        const made = Effect.fnUntraced(function* (partitions: number, replicationFactor: number, needed: number) {
          const topic = yield* TestKafka.uniqueName("doctor")
          const config = { "cleanup.policy": "compact", "min.insync.replicas": String(needed) }
          yield* admin.createTopic({ topic, partitions, replicationFactor, config })
          for (let partition = 0; partition < partitions; partition++) {
            yield* admin.awaitPartition(topic, partition, ({ inSync }) => inSync.length === replicationFactor)
          }
          return topic
        })
        const [damaged, spread] = [yield* made(1, 1, 1), yield* made(3, 1, 1)]
        const [lacking, refusing] = [yield* made(1, 3, 2), yield* made(1, 3, 3)]
        for (const value of ["1", '"marked"', "2"]) {
          yield* java.produce({ topic: damaged, records: [{ key: "a", value }] })
        }

        const [{ leader }] = (yield* admin.describe(damaged)).partitions as [TestAdmin.PartitionState]
        const holder = nodes.find(({ id }) => id === leader)!
        yield* holder.stop
        const file = path.join(holder.data, `${damaged}-0`, `${"0".repeat(20)}.log`)
        const log = readFileSync(file)
        log[log.indexOf("marked")]! ^= 1
        writeFileSync(file, log)
        yield* holder.start
        yield* admin.awaitPartition(damaged, 0, (partition) => partition.leader === leader)
        for (const topic of [lacking, refusing]) {
          yield* admin.awaitPartition(topic, 0, ({ inSync }) => inSync.length === 3)
        }
        const lost = nodes.find(({ id }) => id !== leader)!
        yield* lost.stop
        for (const topic of [lacking, refusing]) {
          yield* admin.awaitPartition(topic, 0, ({ inSync }) => inSync.length === 2)
        }
        const leaderless = (yield* admin.describe(spread)).partitions.find((partition) => partition.leader < 0)
        assert.isDefined(leaderless)

        for (const [topic, code, codes, at, says] of [
          [
            damaged,
            8,
            ["unreadable", "one-replica"],
            { partition: 0, offset: 1 },
            /in partition 0 at offset 1: .*restore the partition/
          ],
          [
            spread,
            8,
            ["no-leader", "one-replica"],
            { partition: leaderless!.partition },
            /1 partition has no leader.*Start the brokers/
          ],
          [
            refusing,
            8,
            ["below-min-insync", "min-insync-high"],
            { partition: 0 },
            new RegExp(`on broker ${lost.id}: writes are refused.*Look whether these brokers run`)
          ],
          [lacking, 7, ["out-of-sync"], { partition: 0 }, new RegExp(`partition 0 on broker ${lost.id}\\.`)]
        ] as const) {
          const ended = yield* run(["doctor", topic, "--json", "--timeout", "10"], { env })
          assert.strictEqual(ended.code, code, ended.stderr)
          assert.match(ended.stderr, /^ktables: \S+ has (errors|warnings): see above\n$/)
          const [{ findings, severity }] = parsed(ended.stdout)
          assert.strictEqual(severity, code === 8 ? "error" : "warning")
          assert.deepStrictEqual(
            findings.map((finding: { readonly code: string }) => finding.code),
            codes
          )
          const { offset, partition } = findings[0]
          assert.deepStrictEqual({ partition, offset }, { offset: undefined, ...at })
          assert.match(ended.stdout, says)
        }
      }).pipe(Effect.scoped),
    600_000
  )
})
