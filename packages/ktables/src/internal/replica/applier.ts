/** Decodes records and applies them to a table's contents: survivors of a load all at once, live records in slices. */
import { Effect } from "effect"
import * as Application from "./application.ts"
import * as Build from "./build.ts"
import * as Decoding from "./decoding.ts"
import * as Live from "./live.ts"
import { trim } from "./trim.ts"
import { Ownership } from "./ownership.ts"
import { type Change, Contents } from "../table/contents.ts"
import type { Outdone } from "../log/outdone.ts"
import { sameness } from "../table/sameness.ts"

export interface Applier<K, V> {
  readonly contents: () => Contents<K, V>
  readonly live: Live.Live<K, V>
  readonly build: Build.Build<K, V>
  /** Whether a key was seen in two partitions, so that a record that goes may uncover an older one elsewhere. */
  readonly hasShared: () => boolean
  /** Whether the contents hold, or were denied, a record outside its key's partition. */
  readonly hasForeign: () => boolean
  /** Records that were passed over for one of their key's own partition. */
  readonly outdone: Outdone
  /** Partitions were added: keys belong elsewhere from here on. */
  readonly grown: (partitions: number) => void
  /** Removes entries of a partition below an offset, and hands their changes to `publish`; succeeds with how many. */
  readonly trim: (
    partition: number,
    offset: number,
    publish: (changes: ReadonlyArray<Change<K, V>>) => void
  ) => Effect.Effect<number>
  /** Puts new contents in place of the old ones. */
  readonly swap: (next: Contents<K, V>) => void
}

export const make = <K, V, RD, RE>(
  options: Decoding.DecodingOptions<K, V, RD, RE> & {
    readonly wantsChanges: () => boolean
    /** Whether the contents' bytes are to be counted. */
    readonly isMeasured: boolean
  }
): Applier<K, V> => {
  const { isMeasured, metrics, topic, wantsChanges } = options
  const empty = () => new Contents<K, V>(isMeasured)
  let current = empty()
  const contents = () => current
  const ownership = new Ownership(metrics.counts)
  const decoding = Decoding.make(options)
  const application = Application.make(topic, decoding, ownership)
  const live = Live.make({ topic: topic.name, application, ownership, metrics, contents, wantsChanges })
  const build = Build.make({
    topic: topic.name,
    isInjective: topic.key.isInjective,
    sameKey: sameness(topic.key, options.context),
    decoding,
    application,
    ownership,
    metrics,
    empty
  })
  let foreignAtBuild = 0

  return {
    contents,
    live,
    build: (survivors, session) =>
      Effect.suspend(() => {
        foreignAtBuild = metrics.counts.foreign
        ownership.hasShared = false
        return build(survivors, session)
      }),
    hasShared: () => ownership.hasShared,
    hasForeign: () => metrics.counts.foreign > foreignAtBuild,
    outdone: ownership.outdone,
    grown: (partitions) => {
      ownership.partitions = partitions
    },
    trim: (partition, offset, publish) =>
      Effect.suspend(() => trim(current, partition, offset, wantsChanges() ? publish : undefined)),
    swap: (next) => {
      next.version = current.version + 1
      current = next
    }
  }
}
