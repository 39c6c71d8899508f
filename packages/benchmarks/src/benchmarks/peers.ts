/** The other ways to hold a topic in memory, on the same machine, broker and topics. */
import { Console, Effect } from "effect"
import type { Measurement } from "../harness/Measurement.ts"
import { builders, type Peer } from "../peers/build.ts"
import { runPeer } from "../peers/runPeer.ts"
import type { Benchmark, Suite } from "../suite.ts"

/** Measures on an empty topic of its own, whose random name would not compare between runs. */
const onEmptyTopic =
  ({ emptyTopic }: Suite) =>
  <E>(measure: (topic: string) => Effect.Effect<ReadonlyArray<Measurement>, E>) =>
    Effect.flatMap(emptyTopic, measure).pipe(
      Effect.map((rows) => rows.map((row) => ({ ...row, topic: undefined }))),
      Effect.scoped
    )

/** Every measurement of one peer outside of Node. */
const measurePeer = Effect.fnUntraced(function* (peer: Peer, suite: Suite) {
  const { options, replayTopics } = suite
  const live = onEmptyTopic(suite)
  const brokers = yield* suite.brokers
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
    measured.push(...(yield* live((topic) => run(args, { topic, ...flags }, options))))
  }
  return measured
})

const measureNode = Effect.fnUntraced(function* (suite: Suite) {
  const { options, repeat, replayTopics } = suite
  const live = onEmptyTopic(suite)
  const brokers = yield* suite.brokers
  const measured: Array<Measurement> = []
  const { count, seconds, warmupCount: warmup } = options
  for (const client of ["kafkajs", "platformatic"] as const) {
    for (const { topic } of yield* replayTopics) {
      for (const decode of ["raw", "json"] as const) {
        measured.push(...(yield* repeat("nodeCatchUp", { client, brokers, topic, decode })))
      }
    }
    measured.push(...(yield* live((topic) => repeat("nodePropagation", { client, brokers, topic, warmup, count }))))
    for (const inFlight of [1, 8, 64, 256]) {
      measured.push(...(yield* live((topic) => repeat("nodeWrite", { client, brokers, topic, inFlight, seconds }))))
    }
  }
  measured.push(...(yield* live((topic) => repeat("roundTrip", { brokers, topic, warmup, count }))))
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
