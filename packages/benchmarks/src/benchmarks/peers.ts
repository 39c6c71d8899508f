/** The other ways to hold a topic in memory, on the same machine, broker and topics. */
import { Console, Effect } from "effect"
import type { Measurement } from "../harness/Measurement.ts"
import { buildGo, buildJava, buildPython, type Peer } from "../peers/build.ts"
import { runPeer } from "../peers/runPeer.ts"
import type { Benchmark, Suite } from "../suite.ts"

const builders = { python: buildPython, java: buildJava, go: buildGo }

/** Topics of the live measurements have random names: they would not compare between runs. */
const anonymous = (rows: ReadonlyArray<Measurement>): ReadonlyArray<Measurement> =>
  rows.map((row) => ({ ...row, topic: undefined }))

/** Every measurement of one peer outside of Node. */
const measurePeer = Effect.fnUntraced(function* (peer: Peer, { brokers, emptyTopic, options, replayTopics }: Suite) {
  const measured: Array<Measurement> = []
  const run = Effect.fnUntraced(function* (
    args: ReadonlyArray<string>,
    flags: Readonly<Record<string, string>>,
    processes: { readonly warmup: number; readonly repeat: number }
  ) {
    const rows: Array<Measurement> = []
    for (let i = 0; i < processes.warmup + processes.repeat; i++) {
      yield* Console.error(`${peer.name} ${[...args, flags["decode"] ?? ""].join(" ")} ${i + 1}`)
      const measurements = yield* runPeer(peer, args, { brokers: brokers.join(","), ...flags })
      if (i >= processes.warmup) rows.push(...measurements)
    }
    return rows
  })

  for (const { topic } of yield* replayTopics) {
    for (const program of peer.programs) {
      for (const decode of peer.decodes) {
        const args = [...program, "catchup"]
        const inside = { warmup: String(options.warmup), repeat: String(options.repeat) }
        measured.push(
          ...(peer.warmsUpInside
            ? yield* run(args, { topic, decode, ...inside }, { warmup: 0, repeat: 1 })
            : yield* run(args, { topic, decode }, options))
        )
      }
    }
  }
  for (const { args, flags } of peer.live(options)) {
    const topic = yield* emptyTopic(1)
    measured.push(...anonymous(yield* run(args, { topic, ...flags }, options)))
  }
  return measured
})

const measureNode = Effect.fnUntraced(function* ({ brokers, emptyTopic, options, repeat, replayTopics }: Suite) {
  const measured: Array<Measurement> = []
  const { count, seconds } = options
  for (const client of ["kafkajs", "platformatic"] as const) {
    for (const { topic } of yield* replayTopics) {
      for (const decode of ["raw", "json"] as const) {
        measured.push(...(yield* repeat("nodeCatchUp", { client, brokers, topic, decode })))
      }
    }
    const topic = yield* emptyTopic(1)
    measured.push(...anonymous(yield* repeat("nodePropagation", { client, brokers, topic, warmup: 100, count })))
    for (const inFlight of [1, 8, 64, 256]) {
      measured.push(...anonymous(yield* repeat("nodeWrite", { client, brokers, topic, inFlight, seconds })))
    }
  }
  const topic = yield* emptyTopic(1)
  measured.push(...anonymous(yield* repeat("roundTrip", { brokers, topic, warmup: 100, count })))
  return measured
})

export const peers: Benchmark = Effect.fnUntraced(function* (suite) {
  const measured: Array<Measurement> = []
  for (const name of suite.options.peers) {
    if (name === "node") {
      measured.push(...(yield* measureNode(suite)))
      continue
    }
    const built = yield* builders[name]
    if (built.kind === "absent") yield* Console.error(`without ${name}: ${built.reason}`)
    else measured.push(...(yield* measurePeer(built.peer, suite)))
  }
  return measured
})
