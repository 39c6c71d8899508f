/**
 * What is wrong with a topic that is to be a table, and what to do about it: from its settings, its replicas and its records.
 */
import { KafkaTableWriter, type LogRecords } from "effect-ktables"
import type { PartitionDescription } from "effect-ktables/KafkaClient"
import { keyText, type Names } from "./entries.ts"
import { plain, shown } from "./formats.ts"
import { KeySizes } from "./keySizes.ts"
import type { Read } from "./logs.ts"
import { age, counted, cut } from "./output.ts"

/** A note is to be known; a warning costs something some day; an error costs entries or writes now. */
export type Severity = "note" | "warning" | "error"

export interface Finding {
  /** For programs. */
  readonly code: string
  readonly severity: Severity
  /** What was seen, as a sentence. */
  readonly seen: string
  /** What to do, as a sentence. */
  readonly advice: string
  /** Of the first record that shows it. */
  readonly partition?: number
  readonly offset?: number
  readonly key?: Uint8Array
}

/** Records of one kind: how many, and the first. */
class Kind {
  count = 0
  first: { readonly partition: number; readonly offset: number; readonly key?: Uint8Array } | undefined

  add(partition: number, { key, offset }: LogRecords.LogRecord): void {
    this.count++
    // Of the answer only the key is kept.
    this.first ??= { partition, offset, ...(key === null ? {} : { key: Uint8Array.from(key) }) }
  }
}

/** What is counted of the records. */
export class Examination {
  readonly keyless = new Kind()
  readonly misplaced = new Kind()
  readonly foreignKeys = new Kind()
  readonly foreignValues = new Kind()
  readonly tombstones = new Kind()
  readonly alive = new KeySizes()
  records = 0
  /** Of keys and values, decompressed. */
  bytes = 0
  /** Milliseconds since the epoch; undefined without tombstones that are stamped. */
  oldestTombstone: number | undefined
  readonly #names: Names
  readonly #partitions: number

  constructor(names: Names, partitions: number) {
    this.#names = names
    this.#partitions = partitions
  }

  see(partition: number, record: LogRecords.LogRecord): void {
    const { key, timestamp, value } = record
    const size = (key?.length ?? 0) + (value?.length ?? 0)
    this.records++
    this.bytes += size
    if (value !== null && shown(this.#names.value, value).isForeign) this.foreignValues.add(partition, record)
    if (key === null) {
      this.keyless.add(partition, record)
      return
    }
    if (shown(this.#names.key, key).isForeign) this.foreignKeys.add(partition, record)
    if (KafkaTableWriter.javaPartitioner(key, this.#partitions) !== partition) this.misplaced.add(partition, record)
    this.alive.add(key, value === null ? undefined : size)
    if (value !== null) return
    this.tombstones.add(partition, record)
    if (timestamp >= 0) this.oldestTombstone = Math.min(timestamp, this.oldestTombstone ?? timestamp)
  }
}

/** A transaction that is open: what is written after its start is in no table until it ends. */
export interface OpenTransaction {
  readonly partition: number
  readonly offset: number
  /** Offsets from its start to the end of the log. */
  readonly hidden: number
  /** When its first record was written, in milliseconds since the epoch; -1 where that is not known. */
  readonly since: number
}

export interface Facts {
  readonly topic: string
  /** Undefined where they may not be read. */
  readonly config: ReadonlyMap<string, string | undefined> | undefined
  readonly brokers: number
  readonly partitions: ReadonlyArray<PartitionDescription>
  readonly openTransactions: ReadonlyArray<OpenTransaction>
  readonly examination: Examination
  readonly read: Read
  /** Offsets between the starts and the ends of the logs. */
  readonly offsets: number
  readonly names: Names
  readonly now: number
}

const altered = (topic: string, setting: string): string =>
  `kafka-configs.sh --alter --entity-type topics --entity-name ${topic} --add-config ${setting}`

const duration = (millis: number): string => (millis < 1000 ? `${millis} ms` : age(0, millis))

const MINUTE = 60_000

/** Readers that are away for longer than tombstones are kept have to read the topic again. */
const SHORT_RETENTION = 10 * MINUTE

/** A transaction of a healthy producer has ended by then. */
const LONG_TRANSACTION = MINUTE

/** From here on a start that reads what is dead is slow enough to be felt. */
const MANY_BYTES = 16 * 1024 * 1024
const MANY_RECORDS = 100_000
const MANY_TIMES = 10
const MANY_TOMBSTONES = 1000

const policyFindings = ({ config, topic }: Facts): ReadonlyArray<Finding> => {
  if (config === undefined) {
    const advice = "Grant this client the ACL DescribeConfigs on the topic, and run this again."
    return [{ code: "config-unknown", severity: "warning", seen: "Its settings may not be read.", advice }]
  }
  const findings: Array<Finding> = []
  const policies = (config.get("cleanup.policy") ?? "").split(",").map((policy) => policy.trim())
  const [age, size] = [Number(config.get("retention.ms") ?? -1), Number(config.get("retention.bytes") ?? -1)]
  const limits = [
    ...(age >= 0 ? [`after retention.ms=${age} (${duration(age)})`] : []),
    ...(size >= 0 ? [`beyond retention.bytes=${size} in a partition`] : [])
  ].join(" and ")
  const compact = altered(topic, "cleanup.policy=compact")
  if (!policies.includes("compact")) {
    const lost = limits === "" ? "every record is kept for ever" : `entries are lost with their segments ${limits}`
    findings.push({
      code: "policy-delete",
      severity: "error",
      seen: `cleanup.policy is ${policies.join(",")}, without compact: ${lost}, and old values are read at every start.`,
      advice: `Let it be compacted: ${compact}`
    })
  } else if (policies.includes("delete")) {
    const never = limits === ""
    findings.push({
      code: "policy-compact-delete",
      severity: never ? "note" : "warning",
      seen: `cleanup.policy is ${policies.join(",")}: ${never ? "no entry expires, since retention.ms is -1" : `entries expire ${limits}, also those that are wanted`}.`,
      advice: `Where entries are to expire, leave it; else: ${compact}`
    })
  }
  const kept = Number(config.get("delete.retention.ms") ?? SHORT_RETENTION)
  if (kept < SHORT_RETENTION) {
    findings.push({
      code: "delete-retention",
      severity: "warning",
      seen: `delete.retention.ms is ${kept} (${duration(kept)}): a reader that was away, or loads, for longer may miss deletions, and has to read the topic again.`,
      advice: `Keep tombstones longer than any outage: ${altered(topic, "delete.retention.ms=86400000")}`
    })
  }
  return findings
}

const replicaFindings = ({ brokers, config, partitions, topic }: Facts): ReadonlyArray<Finding> => {
  const findings: Array<Finding> = []
  const known = partitions.filter(({ replicas }) => replicas !== undefined)
  const least = Math.min(...known.map(({ replicas }) => replicas!.length))
  const wanted = Number(config?.get("min.insync.replicas") ?? Number.NaN)
  const reassign = "kafka-reassign-partitions.sh adds replicas to a topic"
  const leaderless = partitions.filter(({ leader }) => leader < 0)
  if (leaderless.length > 0) {
    findings.push({
      code: "no-leader",
      severity: "error",
      seen: `${counted(leaderless.length, "partition has", "partitions have")} no leader: nothing is read or written there.`,
      advice: "Start the brokers that have its replicas.",
      partition: leaderless[0]!.partition
    })
  }
  if (known.length === 0) return findings
  if (least === 1) {
    findings.push({
      code: "one-replica",
      severity: brokers > 1 ? "warning" : "note",
      seen: `It has one replica${brokers > 1 ? "" : ", as the cluster has one broker"}: when its broker is lost, so are its entries.`,
      advice: `Keep three: ${reassign}.`,
      partition: known.find(({ replicas }) => replicas!.length === 1)!.partition
    })
  } else if (wanted === 1) {
    findings.push({
      code: "min-insync-low",
      severity: "warning",
      seen: `min.insync.replicas is 1 of ${least} replicas: an acknowledged write may be on one broker alone, and go with it.`,
      advice: altered(topic, "min.insync.replicas=2")
    })
  } else if (wanted >= least) {
    findings.push({
      code: "min-insync-high",
      severity: "warning",
      seen: `min.insync.replicas is ${wanted} of ${least} replicas: no write is taken while one broker is down.`,
      advice: `Let it be one less than there are replicas (${reassign}): ${altered(topic, `min.insync.replicas=${Math.max(1, least - 1)}`)}`
    })
  }
  // A partition without a leader is said above.
  const behind = known.filter(({ inSync = [], leader, replicas }) => leader >= 0 && inSync.length < replicas!.length)
  if (behind.length > 0) {
    const refuses = behind.some(({ inSync = [] }) => inSync.length < wanted)
    const [{ inSync = [], partition, replicas }] = behind as [PartitionDescription]
    const out = replicas!.filter((id) => !inSync.includes(id))
    findings.push({
      code: refuses ? "below-min-insync" : "out-of-sync",
      severity: refuses ? "error" : "warning",
      seen: `${counted(behind.length, "partition has", "partitions have")} replicas out of sync, first partition ${partition} on broker ${out.join(", ")}${refuses ? ": writes are refused, below min.insync.replicas" : ""}.`,
      advice: "Look whether these brokers run, and at their logs.",
      partition
    })
  }
  return findings
}

const place = (names: Names, { first }: Kind): string => {
  const key = first?.key === undefined ? "" : `, key ${cut(plain(keyText(names, first.key)), 60)}`
  return `the first in partition ${first!.partition} at offset ${first!.offset}${key}`
}

const recordFindings = ({ examination, names, now, topic }: Facts): ReadonlyArray<Finding> => {
  const { foreignKeys, foreignValues, keyless, misplaced, records, tombstones } = examination
  const of = (kind: Kind, code: string, seen: string, advice: string): ReadonlyArray<Finding> =>
    kind.count === 0
      ? []
      : [{ code, severity: "warning", seen: `${seen}, ${place(names, kind)}.`, advice, ...kind.first! }]
  const record = (kind: Kind): string => `${counted(kind.count, "record", "records")} of ${records}`
  const many = tombstones.count >= MANY_TOMBSTONES && 2 * tombstones.count >= records
  return [
    ...of(
      keyless,
      "null-key",
      `${record(keyless)} without a key, which no table shows`,
      "Give records a key in their producer: a compacted topic refuses others."
    ),
    ...of(
      misplaced,
      "foreign-partition",
      `${record(misplaced)} in another partition than Java's partitioner and this library's writers choose`,
      "Where producers hash otherwise, keep each key to one of them, or let all use murmur2; where the topic has grown, write these keys again."
    ),
    ...of(
      foreignKeys,
      "key-undecodable",
      `${record(foreignKeys)} whose key is not ${names.key}`,
      "Name their format with --key; else delete these keys, and look for the producer that writes them."
    ),
    ...of(
      foreignValues,
      "value-undecodable",
      `${record(foreignValues)} whose value is not ${names.value}`,
      "Name their format with --value; else write these keys again, and look for the producer that writes them."
    ),
    ...(tombstones.count === 0
      ? []
      : [
          {
            code: "tombstones",
            severity: many ? "warning" : "note",
            seen: `${record(tombstones)} are tombstones${examination.oldestTombstone === undefined ? "" : `, the oldest ${age(examination.oldestTombstone, now)} old`}.`,
            advice: many
              ? `Let compaction take them sooner: ${altered(topic, "max.compaction.lag.ms=86400000")}`
              : "None: they go once compaction has passed them and delete.retention.ms is over.",
            ...tombstones.first!
          } as const
        ])
  ]
}

const sizeFindings = ({ examination: { alive, bytes, records }, topic }: Facts): ReadonlyArray<Finding> => {
  const isLarge = bytes >= MANY_BYTES || records >= MANY_RECORDS
  if (!isLarge || (records < MANY_TIMES * alive.keys && bytes < MANY_TIMES * alive.bytes)) return []
  const about = alive.isExact ? "" : "about "
  return [
    {
      code: "log-size",
      severity: "warning",
      seen: `The log has ${records} records of ${bytes} bytes for ${about}${counted(alive.keys)} of ${about}${alive.bytes} bytes: every start reads all of them.`,
      advice: `Let compaction run sooner, and look whether the brokers' log cleaner does: ${altered(topic, "segment.ms=3600000,max.compaction.lag.ms=86400000,min.cleanable.dirty.ratio=0.1")}`
    }
  ]
}

const transactionFindings = ({ now, openTransactions }: Facts): ReadonlyArray<Finding> =>
  openTransactions.map(({ hidden, offset, partition, since }) => {
    const long = since >= 0 && now - since >= LONG_TRANSACTION
    return {
      code: "open-transaction",
      severity: long ? "warning" : "note",
      seen: `A transaction is open in partition ${partition} from offset ${offset} on${since < 0 ? "" : `, for ${age(since, now)}`}: ${counted(hidden, "offset", "offsets")} from there on are in no table.`,
      advice: long
        ? "Look for its producer with kafka-transactions.sh list and describe, and end it with kafka-transactions.sh abort; a broker does so after transaction.timeout.ms."
        : "None, while its producer is at work.",
      partition,
      offset
    }
  })

const readingFindings = ({ offsets, read }: Facts): ReadonlyArray<Finding> => [
  ...read.unreadable.map(({ detail, offset, partition }): Finding => ({
    code: "unreadable",
    severity: "error",
    seen: `A batch cannot be read, in partition ${partition} at offset ${offset}: ${detail}. No table gets past it.`,
    advice: "Where compression is not available, install its package; else restore the partition from another replica.",
    partition,
    offset
  })),
  ...(read.offsets < offsets && read.unreadable.length === 0
    ? [
        {
          code: "not-all-read",
          severity: "note",
          seen: `${read.offsets} of ${offsets} offsets were read in the time that was given: what lies after them is not known.`,
          advice: "Give it longer: --scan-time 600."
        } as const
      ]
    : [])
]

const ranks: Readonly<Record<Severity, number>> = { error: 0, warning: 1, note: 2 }

/** The worst first. */
export const findingsOf = (facts: Facts): ReadonlyArray<Finding> =>
  [
    ...policyFindings(facts),
    ...replicaFindings(facts),
    ...readingFindings(facts),
    ...recordFindings(facts),
    ...transactionFindings(facts),
    ...sizeFindings(facts)
  ].sort((a, b) => ranks[a.severity] - ranks[b.severity])
