/** Decodes records and applies them to a table's contents: survivors of a load all at once, live records in slices. */
import type { ReaderError } from "../../TableError.ts"
import { Effect } from "effect"
import * as Application from "./application.ts"
import * as Build from "./build.ts"
import * as Decoding from "./decoding.ts"
import * as Live from "./live.ts"
import { trim } from "./trim.ts"
import { Ownership, type Spread } from "./ownership.ts"
import type { Cell } from "../table/cell.ts"
import type { LogContents } from "./logContents.ts"
import type { Outdone } from "../log/outdone.ts"
import { sameness } from "./sameness.ts"

export interface Applier<K, V> {
  /** Whether a load is to hold the headers of records: they are kept, or whoever decides about a bad record is given them. */
  readonly needsHeaders: boolean
  readonly live: Live.Live
  readonly build: Build.Build<K, V>
  readonly spread: () => Spread
  /** Records that were passed over for one of their key's own partition. */
  readonly outdone: Outdone
  /** Partitions were added: keys belong elsewhere from here on. */
  readonly grown: (partitions: number) => void
  /** Removes entries of a partition below an offset; succeeds with how many. */
  readonly trim: (partition: number, offset: number) => Effect.Effect<number>
}

export const make = <K, V, RD, RE, R>(
  options: Decoding.DecodingOptions<K, V, RD, RE, R> & {
    readonly cell: Cell<K, V, ReaderError, LogContents<K, V>>
    /** Makes contents to load into. */
    readonly empty: () => LogContents<K, V>
  }
): Applier<K, V> => {
  const { cell, empty, metrics, topic } = options
  const { keeps } = cell.contents
  const ownership = new Ownership(metrics.counts)
  const decoding = Decoding.make(options)
  const application = Application.make(topic, decoding, ownership, keeps.headers)
  const live = Live.make({ topic: topic.name, application, ownership, metrics, cell })
  const build = Build.make({
    topic: topic.name,
    isInjective: topic.key.isInjective,
    sameKey: sameness(topic.key, options.context),
    decoding,
    application,
    ownership,
    metrics,
    keepsHeaders: keeps.headers,
    empty
  })
  return {
    needsHeaders: keeps.headers || typeof options.onDecodeError === "function",
    live,
    build,
    spread: () => ownership.spread,
    outdone: ownership.outdone,
    grown: (partitions) => {
      ownership.partitions = partitions
    },
    trim: (partition, offset) =>
      Effect.suspend(() => trim(cell.contents, partition, offset, (slice) => cell.commit(slice, nothing)))
  }
}

const nothing = () => {}
