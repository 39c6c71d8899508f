/** The settings of a topic (https://kafka.apache.org/documentation/#topicconfigs) with the defaults of Kafka 4. */

const MAX_LONG = "9223372036854775807"

const integer = (value: string) => /^-?\d+$/.test(value)
const atLeast = (minimum: number) => (value: string) => integer(value) && Number(value) >= minimum
const oneOf =
  (...allowed: ReadonlyArray<string>) =>
  (value: string) =>
    allowed.includes(value)
const boolean = oneOf("true", "false")
const fraction = (value: string) => value.trim() !== "" && Number(value) >= 0 && Number(value) <= 1
const anything = () => true

const settings: Readonly<Record<string, readonly [byDefault: string, isValid: (value: string) => boolean]>> = {
  "cleanup.policy": [
    "delete",
    (value) => value.split(",").every((policy) => oneOf("compact", "delete")(policy.trim().toLowerCase()))
  ],
  "compression.gzip.level": ["-1", integer],
  "compression.lz4.level": ["9", integer],
  "compression.type": ["producer", oneOf("uncompressed", "zstd", "lz4", "snappy", "gzip", "producer")],
  "compression.zstd.level": ["3", integer],
  "delete.retention.ms": ["86400000", atLeast(0)],
  "file.delete.delay.ms": ["60000", atLeast(0)],
  "flush.messages": [MAX_LONG, atLeast(1)],
  "flush.ms": [MAX_LONG, atLeast(0)],
  "follower.replication.throttled.replicas": ["", anything],
  "index.interval.bytes": ["4096", atLeast(0)],
  "leader.replication.throttled.replicas": ["", anything],
  "local.retention.bytes": ["-2", atLeast(-2)],
  "local.retention.ms": ["-2", atLeast(-2)],
  "max.compaction.lag.ms": [MAX_LONG, atLeast(1)],
  "max.message.bytes": ["1048588", atLeast(0)],
  "message.timestamp.after.max.ms": ["3600000", atLeast(0)],
  "message.timestamp.before.max.ms": [MAX_LONG, atLeast(0)],
  "message.timestamp.type": ["CreateTime", oneOf("CreateTime", "LogAppendTime")],
  "min.cleanable.dirty.ratio": ["0.5", fraction],
  "min.compaction.lag.ms": ["0", atLeast(0)],
  "min.insync.replicas": ["1", atLeast(1)],
  preallocate: ["false", boolean],
  "remote.log.copy.disable": ["false", boolean],
  "remote.log.delete.on.disable": ["false", boolean],
  "remote.storage.enable": ["false", boolean],
  "retention.bytes": ["-1", integer],
  "retention.ms": ["604800000", atLeast(-1)],
  "segment.bytes": ["1073741824", atLeast(14)],
  "segment.index.bytes": ["10485760", atLeast(4)],
  "segment.jitter.ms": ["0", atLeast(0)],
  "segment.ms": ["604800000", atLeast(1)],
  "unclean.leader.election.enable": ["false", boolean]
}

export type TopicConfig = ReadonlyMap<string, string>

export const defaultConfig: TopicConfig = new Map(Object.entries(settings).map(([name, [value]]) => [name, value]))

/** The settings with `set` over them, or a sentence that says which one is refused. */
export const configure = (config: TopicConfig, set: Readonly<Record<string, string>>): TopicConfig | string => {
  const changed = new Map(config)
  for (const [name, value] of Object.entries(set)) {
    const setting = settings[name]
    if (setting === undefined) return `Unknown topic config name: ${name}`
    if (!setting[1](value)) return `Invalid value ${value} for configuration ${name}`
    changed.set(name, value)
  }
  return changed
}

export const isCompacted = (config: TopicConfig): boolean => config.get("cleanup.policy")!.includes("compact")
