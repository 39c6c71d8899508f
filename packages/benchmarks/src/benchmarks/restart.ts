/**
 * What a restart costs: of the whole topic, and from a checkpoint with one percent new since, also over a slow link. Beside it
 * the peers that keep their tables on disk, which start from what they have left, with the same records new since.
 */
import { TestKafka } from "@effect-ktables/testing"
import { Console, Effect } from "effect"
import * as fs from "node:fs/promises"
import { tmpdir } from "node:os"
import * as path from "node:path"
import type { Measurement } from "../harness/Measurement.ts"
import { runCell } from "../harness/runCell.ts"
import type { RunOptions } from "../options.ts"
import { builders, type Peer } from "../peers/build.ts"
import { runPeer } from "../peers/runPeer.ts"
import type { Benchmark } from "../suite.ts"
import { append, filledTopic } from "../topics/provision.ts"
import { keyIds, type LogShape } from "../topics/logs.ts"
import type { Source } from "../topics/source.ts"

/** Bytes per second. */
const SLOW = 50_000_000

const temporary = Effect.acquireRelease(
  Effect.promise(() => fs.mkdtemp(path.join(tmpdir(), "checkpoints-"))),
  (directory) => Effect.promise(() => fs.rm(directory, { recursive: true, force: true }))
)

interface KeepingPeer {
  readonly peer: Peer
  readonly restart: NonNullable<Peer["restart"]>
}

/** The peers that start from what they have kept, where they can be built. */
const keepingPeers = Effect.fnUntraced(function* (names: RunOptions["peers"]) {
  const peers: Array<KeepingPeer> = []
  for (const name of names) {
    if (name === "node" || name === "python") continue
    const built = yield* builders[name]
    if (built.kind === "absent") yield* Console.error(`without ${name}: ${built.reason}`)
    else if (built.peer.restart !== undefined) peers.push({ peer: built.peer, restart: built.peer.restart })
  }
  return peers
})

/** A peer's start on what is in a directory, which it leaves as it then is. */
const startPeer = Effect.fnUntraced(function* (
  { peer, restart }: KeepingPeer,
  brokers: ReadonlyArray<string>,
  topic: string,
  keys: number,
  state: string
) {
  const rows = yield* runPeer(peer, restart.args, { brokers: brokers.join(","), topic, state })
  const other = rows.find((row) => row.keys !== keys)
  if (other !== undefined) return yield* Effect.die(`${topic} holds ${keys} keys, ${peer.name} ${other.keys}`)
  return rows
})

export const restart: Benchmark = Effect.fnUntraced(function* ({ options, repeat }) {
  const { clients, decodes, logs, partitions, sizes, warmup } = options
  const peers = yield* keepingPeers(options.peers)
  // Of its own: topics are appended to, and the link is a proxy.
  const cluster = yield* TestKafka.startCluster({ proxies: true, heap: "1g" })
  const { innerBrokers } = cluster
  for (const { proxy } of cluster.nodes) yield* proxy!.limit(SLOW)
  const links = [
    { link: "", brokers: innerBrokers },
    { link: ", 50 MB/s", brokers: cluster.brokers }
  ]
  const shapes: ReadonlyArray<LogShape> = [
    ...logs,
    ...sizes.map((keys): LogShape => ({ distribution: "unique", records: keys, keys }))
  ]
  const measured: Array<Measurement> = []
  for (const shape of shapes) {
    yield* Console.error(`restart: ${shape.distribution}, ${shape.records} records`)
    const { keys, topic } = yield* Effect.promise(() => filledTopic(innerBrokers, shape, partitions))

    const tables = clients
      .filter((client) => client !== "memory")
      .flatMap((client) => decodes.map((decode) => ({ client, decode })))
    const inputOf = ({ client, decode }: (typeof tables)[number], brokers: ReadonlyArray<string>, link: string) => {
      const source: Source = { client, brokers, topic }
      return { source, topic, keys, decode, link }
    }
    const kept = yield* Effect.forEach(
      tables,
      Effect.fnUntraced(function* (table) {
        const directory = yield* temporary
        const input = { ...inputOf(table, innerBrokers, ""), directory, leaves: true }
        yield* runCell("restart", input, { profile: undefined })
        return { table, directory }
      })
    )
    const keptByPeers = yield* Effect.forEach(
      peers,
      Effect.fnUntraced(function* (peer) {
        const state = yield* temporary
        yield* startPeer(peer, innerBrokers, topic, keys, state)
        return { peer, state }
      })
    )
    // Keys that the log has: not all are drawn into one of zipf.
    const more = Int32Array.from(new Set(keyIds(shape))).subarray(0, Math.ceil(keys / 100))
    yield* Effect.promise(() => append(innerBrokers, topic, more))

    for (const { brokers, link } of links) {
      for (const { directory, table } of kept) {
        const input = { ...inputOf(table, brokers, link), leaves: false }
        measured.push(
          ...(yield* repeat("restart", { ...input, directory: undefined })),
          ...(yield* repeat("restart", { ...input, directory }))
        )
      }
      for (const { peer, state } of keptByPeers) {
        for (let run = 0; run < warmup + options.repeat; run++) {
          yield* Console.error(`${peer.peer.name} restart ${run + 1}`)
          const rows = yield* Effect.scoped(
            Effect.gen(function* () {
              const copy = yield* temporary
              yield* Effect.promise(() => fs.cp(state, copy, { recursive: true }))
              return yield* startPeer(peer, brokers, topic, keys, copy)
            })
          )
          if (run < warmup) continue
          measured.push(...rows.map((row) => ({ ...row, detail: `from its ${peer.restart.store}${link}` })))
        }
      }
    }
  }
  return measured
}, Effect.scoped)
