/** What holds after every fault, said once: of the log, and of a table beside an independent full read of the log. */
import assert from "node:assert/strict"
import { Effect, Exit, Option } from "effect"
import type { JavaPeer } from "@effect-ktables/testing/interop"
import { javaPartitioner } from "../../../src/internal/records/partitioner.ts"
import type { Attempt } from "./workload.ts"

export interface Logged {
  readonly partition: number
  readonly offset: number
  readonly key: string
  /** Null for a tombstone. */
  readonly value: number | null
}

/** The topic's committed records in order per partition, read by Java's consumer from start to end. */
export const readLog = (java: JavaPeer.Service, topic: string) =>
  Effect.map(java.committedRecords(topic), (records): ReadonlyArray<Logged> =>
    records.map(({ key, offset, partition, value }) => ({
      partition,
      offset,
      key: Buffer.from(key!, "base64").toString(),
      value: value === null ? null : Number(Buffer.from(value, "base64").toString())
    }))
  )

/**
 * The table that a log stands for. After a growth of the topic a key may be in two partitions: the one that the
 * partitioner names now is its owner.
 */
export const tableOf = (log: ReadonlyArray<Logged>, partitions: number): ReadonlyMap<string, number> => {
  const latest = new Map<string, Logged>()
  const owner = (key: string) => javaPartitioner(Buffer.from(key), partitions)
  for (const record of log) {
    const known = latest.get(record.key)
    if (known !== undefined && known.partition !== record.partition && known.partition === owner(record.key)) continue
    latest.set(record.key, record)
  }
  return new Map([...latest.values()].flatMap(({ key, value }) => (value === null ? [] : [[key, value] as const])))
}

/**
 * Guarantee 10: every acknowledged write is in the log exactly once, where its acknowledgement says; a write of unknown
 * outcome at most once, any other failed write not at all; and each key's writes are in their order.
 */
export const assertExactlyOnceInOrder = (attempts: ReadonlyArray<Attempt>, log: ReadonlyArray<Logged>): void => {
  const keys = new Set(attempts.map(({ key }) => key))
  const place = (partition: number, offset: number) => `${partition}@${offset}`
  const acknowledged = new Map<string, Attempt>()
  const unknown = new Map<string, Array<Attempt>>()
  for (const attempt of attempts) {
    const { exit, key } = attempt
    if (Exit.isSuccess(exit)) {
      const at = place(exit.value.partition, exit.value.offset!)
      assert.ok(!acknowledged.has(at), `two writes were acknowledged at ${at}`)
      acknowledged.set(at, attempt)
      continue
    }
    const error = Option.getOrUndefined(Exit.findErrorOption(exit))
    assert.ok(error !== undefined, `a write of ${key} ended with a defect: ${String(exit)}`)
    if (error._tag === "WriteOutcomeUnknown") unknown.set(key, [...(unknown.get(key) ?? []), attempt])
  }

  const last = new Map<string, number>()
  for (const record of log) {
    if (!keys.has(record.key)) continue
    const at = place(record.partition, record.offset)
    let attempt = acknowledged.get(at)
    if (attempt !== undefined) {
      acknowledged.delete(at)
      assert.equal(attempt.key, record.key, `${at} holds another key than was acknowledged there`)
    } else {
      const left = unknown.get(record.key) ?? []
      const found = left.findIndex(({ isTombstone, number }) =>
        record.value === null ? isTombstone : number === record.value
      )
      assert.ok(found >= 0, `${at} holds ${record.key} = ${record.value}, which was doubled or never written`)
      attempt = left.splice(found, 1)[0]!
    }
    assert.equal(
      attempt.isTombstone ? null : attempt.number,
      record.value,
      `${at} holds another value of ${record.key}`
    )
    const chain = `${record.key}[${record.partition}]`
    assert.ok(attempt.number > (last.get(chain) ?? -1), `${at}: ${record.key} is behind a newer write of it`)
    last.set(chain, attempt.number)
  }
  const lost = [...acknowledged].map(([at, { key, number }]) => `${key} #${number} at ${at}`)
  assert.equal(lost.length, 0, `acknowledged writes are not in the log: ${lost.slice(0, 5).join(", ")}`)
}

/**
 * Guarantee 10 in a log that is compacted: of each key, the newest record is the last acknowledged write or one of unknown
 * outcome that came after it; a deletion may have left nothing. Nothing is in the log that was never written.
 */
export const assertNewestKept = (attempts: ReadonlyArray<Attempt>, log: ReadonlyArray<Logged>): void => {
  const valueOf = ({ isTombstone, number }: Attempt) => (isTombstone ? null : number)
  const byKey = new Map<string, Array<Attempt>>()
  for (const attempt of attempts) byKey.set(attempt.key, [...(byKey.get(attempt.key) ?? []), attempt])
  const logged = new Map<string, Array<Logged>>()
  for (const record of log) {
    if (byKey.has(record.key)) logged.set(record.key, [...(logged.get(record.key) ?? []), record])
  }
  for (const [key, all] of byKey) {
    const last = all.findLastIndex(({ exit }) => Exit.isSuccess(exit))
    const acknowledged = all[last]
    // A write of unknown outcome may still be in the log, and only where it was sent.
    const possible = all.slice(Math.max(last, 0)).filter(({ exit }) => {
      const error = Option.getOrUndefined(Exit.findErrorOption(exit))
      return Exit.isSuccess(exit) || error?._tag === "WriteOutcomeUnknown"
    })
    const records = logged.get(key) ?? []
    if (records.length === 0) {
      assert.ok(
        acknowledged === undefined || possible.some(({ isTombstone }) => isTombstone),
        `${key} = ${acknowledged?.number} was acknowledged, and nothing of it is in the log`
      )
      continue
    }
    const newest = possible.map(valueOf)
    // After a growth the key may be in several partitions; the newest write is the newest of one of them.
    const ends = new Map(records.map((record) => [record.partition, record]))
    assert.ok(
      [...ends.values()].some(({ value }) => newest.includes(value)),
      `${key}: the log ends with ${[...ends.values()].map(({ value }) => value).join(", ")}, not with one of ${newest.join(", ")}`
    )
    for (const { offset, partition, value } of records) {
      assert.ok(
        all.some((attempt) => valueOf(attempt) === value),
        `${partition}@${offset} holds ${key} = ${value}, which was never written`
      )
    }
  }
}

/** Where two tables are not the same. */
export const differences = (
  actual: ReadonlyMap<string, number>,
  expected: ReadonlyMap<string, number>
): ReadonlyArray<string> =>
  [...new Set([...actual.keys(), ...expected.keys()])]
    .filter((key) => actual.get(key) !== expected.get(key))
    .map((key) => `${key} is ${actual.get(key)}, not ${expected.get(key)}`)
