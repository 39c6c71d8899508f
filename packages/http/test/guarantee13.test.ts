/**
 * The thirteenth sentence of the contract, against a model: two servers at different positions of one log, behind one address,
 * and a copy whose connections are cut at any moment. What is read in a topic at a position is known, whoever reads it.
 */
import { assert, describe, it } from "@effect/vitest"
import { Effect, type HashMap, Layer, Schema, Stream } from "effect"
import { Table, TablePosition, TableReplication, TableTopic } from "effect-ktables"
import { HttpRouter, HttpServer } from "effect/http"
import * as RemoteTable from "../src/RemoteTable.ts"
import * as TableHttp from "../src/TableHttp.ts"

const topic = TableTopic.make({ name: "t", key: Schema.String, value: Schema.Int })

/** Numbers that look random and are the same for a seed. */
const randomOf = (seed: number) => {
  let state = seed * 2654435761 + 1
  return (below: number): number => {
    state = (Math.imul(state ^ (state >>> 15), 2246822519) + 0x9e3779b9) | 0
    return ((state ^ (state >>> 13)) >>> 0) % below
  }
}

interface LogRecord {
  readonly key: string
  readonly value: number | undefined
  readonly epoch: number
}

/** A log of one partition that is written, cut by elections, and made again. */
class Log {
  topicId = "0"
  epoch = 1
  records: Array<LogRecord> = []

  contentsAt(offset: number): Map<string, number> {
    const contents = new Map<string, number>()
    for (const { key, value } of this.records.slice(0, offset)) {
      if (value === undefined) contents.delete(key)
      else contents.set(key, value)
    }
    return contents
  }
  positionAt(offset: number): TablePosition.TablePosition {
    const epoch = this.records[offset - 1]?.epoch ?? -1
    return [
      {
        topic: "t",
        topicId: this.topicId,
        partitions: [{ partition: 0, offset, epoch, epochAt: epoch < 0 ? 0 : offset }]
      }
    ]
  }
}

const text = (contents: Iterable<readonly [string, number]>): string =>
  JSON.stringify([...contents].toSorted(([a], [b]) => (a < b ? -1 : 1)))

const isDown = (now: TablePosition.TablePosition, before: TablePosition.TablePosition) =>
  TablePosition.relation(now, before) !== "has"

/** A server whose table is filled by hand from the log, and what it had at each position. */
const makeServer = Effect.fnUntraced(function* (log: Log, known: Map<string, string>) {
  const replica = TableReplication.makeReplica<string, number>("t")
  replica.setStatus({ _tag: "CaughtUp" })
  let offset = 0
  let generation = 0
  const note = () => known.set(JSON.stringify(Table.position(replica.table)), text(replica.table.view))
  const server = {
    get isAtEnd() {
      return offset === log.records.length
    },
    /** Applies some of what is in the log. */
    advance: (count: number) => {
      const end = Math.min(offset + count, log.records.length)
      const records = log.records.slice(offset, end)
      offset = end
      replica.commit(
        records.map(({ key, value }) => (value === undefined ? [key] : [key, value])),
        log.positionAt(offset)
      )
      note()
    },
    /** Reads the log from its start, as after a loss or for another topic. */
    rebuild: Effect.suspend(() => {
      offset = log.records.length
      return Effect.andThen(replica.replace(log.contentsAt(offset), log.positionAt(offset)), Effect.sync(note))
    })
  }
  note()
  /** The routes are made again now and then, as by a restart: nothing is left of the events before. */
  const start = () =>
    HttpRouter.toWebHandler(
      TableHttp.layer({
        tables: [TableHttp.served(topic, replica.table)],
        flushEvery: 1,
        retainedBytes: 2000
      }).pipe(Layer.provide(HttpServer.layerServices)),
      { disableLogger: true }
    )
  let running = start()
  yield* Effect.addFinalizer(() => Effect.promise(() => running.dispose()))
  return Object.assign(server, {
    handler: (request: Request) => running.handler(request),
    restart: Effect.suspend(() => {
      generation++
      const old = running
      running = start()
      return Effect.promise(() => old.dispose())
    }),
    generation: () => generation
  })
})

/** Behind the address: a server by chance, and a stream that can be cut. */
const makeNetwork = (
  servers: ReadonlyArray<{ readonly handler: (request: Request) => Promise<Response> }>,
  random: (below: number) => number
) => {
  const cuts = new Set<() => void>()
  const balanced: typeof globalThis.fetch = async (input, init) => {
    const response = await servers[random(servers.length)]!.handler(new Request(input, init))
    if (response.body === null || !response.ok) return response
    const { readable, writable } = new TransformStream<Uint8Array, Uint8Array>()
    const abort = new AbortController()
    const cut = () => abort.abort(new Error("cut"))
    cuts.add(cut)
    response.body
      .pipeTo(writable, { signal: abort.signal })
      .catch(() => {})
      .finally(() => cuts.delete(cut))
    return new Response(readable, response)
  }
  return { fetch: balanced, cut: () => cuts.forEach((cut) => cut()) }
}

/** A turn of the event loop, in which streams go on. */
const turn = Effect.promise(() => new Promise<void>((resolve) => void setImmediate(resolve)))

const cases = Array.from({ length: Number(process.env["CASES"] ?? 8) }, (_, i) => i + 1)

describe("a remote table of two servers behind one address", () => {
  for (const seed of cases) {
    it.live(
      `has what a server has at its positions, which go down only by a reset, and ends equal (seed ${seed})`,
      () =>
        Effect.gen(function* () {
          const random = randomOf(seed)
          const log = new Log()
          const known = new Map<string, string>()
          const a = yield* makeServer(log, known)
          const b = yield* makeServer(log, known)
          const servers = [a, b]
          const network = makeNetwork(servers, random)
          const write = (count: number) => {
            for (let i = 0; i < count; i++) {
              const value = random(4) === 0 ? undefined : random(1000)
              log.records.push({ key: `k${random(20)}`, value, epoch: log.epoch })
            }
          }
          write(50)
          for (const server of servers) server.advance(1 + random(50))
          const copy = yield* RemoteTable.make("http://balancer", topic, { fetch: network.fetch })

          // Each of its states, within the commit that shows it.
          let before = Table.position(copy)
          let resets = 0
          let states = 0
          const wrong: Array<string> = []
          const look = (entries: HashMap.HashMap<string, number>, now: TablePosition.TablePosition) => {
            states++
            const expected = known.get(JSON.stringify(now))
            if (expected !== text(entries)) wrong.push(`at ${JSON.stringify(now)}: ${text(entries)}, not ${expected}`)
            if (isDown(now, before)) resets++
            before = now
          }
          look(yield* copy.snapshot, before)
          const followed: TableReplication.Followed<string, number> = yield* TableReplication.follow(copy, () =>
            look(followed.entries(), followed.position())
          )

          for (let step = 0; step < 120; step++) {
            const kind = random(40)
            if (kind < 12) write(1 + random(8))
            // One of them is behind most of the time.
            else if (kind < 28) servers[random(5) === 0 ? 1 : 0]!.advance(1 + random(12))
            else if (kind < 34) network.cut()
            else if (kind < 36) yield* servers[random(2)]!.rebuild
            else if (kind < 37) yield* servers[random(2)]!.restart
            else if (kind < 38) {
              // A leader that had less is elected, and writes.
              log.records.length = Math.max(0, log.records.length - random(10))
              log.epoch++
              write(1)
              for (const server of servers) yield* server.rebuild
            } else if (kind < 39 && random(3) === 0) {
              log.topicId = String(Number(log.topicId) + 1)
              log.epoch = 1
              log.records = []
              write(3)
              for (const server of servers) yield* server.rebuild
            }
            for (let i = random(6); i > 0; i--) yield* turn
            // Most of the time it is there again before the next step; whom it comes to may have to come further first.
            if (random(4) === 0) continue
            for (let n = 1; !(yield* copy.health).connected; n++) {
              if (n % 50 === 0) servers[random(2)]!.advance(1)
              yield* turn
            }
          }
          network.cut()
          write(5)
          for (const server of servers) server.advance(log.records.length)
          const end = log.positionAt(log.records.length)
          const isThere = () => TablePosition.relation(Table.position(copy), end) === "has"
          yield* Stream.runHead(Stream.filter(copy.states, isThere))
          yield* turn
          assert.deepStrictEqual(wrong, [])
          assert.strictEqual(text(yield* copy.entries), text(log.contentsAt(log.records.length)))
          assert.isAtMost(resets, (yield* copy.health).resets)
          assert.isAbove(states, 10)
        }).pipe(Effect.scoped)
    )
  }
})
