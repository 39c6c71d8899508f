/**
 * A TCP proxy in front of a broker that misbehaves on demand: it cuts, freezes, delays, narrows and refuses connections,
 * and loses single requests and answers.
 *
 * Requests are told apart by the first bytes of their frames, so losing and counting them needs a plain connection; all
 * else works on TLS too. Times are real ones: a test under `TestClock` may use any of this.
 *
 * @since 0.1.0
 */
import { Deferred, type Duration, Duration as D, Effect, type Scope } from "effect"
import * as net from "node:net"
import { makeFrames } from "./internal/frames.ts"
import { type Lane, makeLane, type Weather } from "./internal/lane.ts"
import { freePorts } from "./internal/ports.ts"

/**
 * Which way bytes flow.
 *
 * @category models
 * @since 0.1.0
 */
export type Direction = "toBroker" | "toClient" | "both"

/**
 * What has passed through a proxy since it was made.
 *
 * @category models
 * @since 0.1.0
 */
export interface Traffic {
  /** Connections accepted. */
  readonly connections: number
  /** Connections open now. */
  readonly open: number
  readonly bytesToBroker: number
  readonly bytesToClient: number
  /** Requests by API key, on plain connections. */
  readonly requests: ReadonlyMap<number, number>
}

/**
 * A proxy in front of one broker; it ends with its scope.
 *
 * @category models
 * @since 0.1.0
 */
export interface FaultProxy {
  /** `host:port` where clients connect. */
  readonly address: string
  /** `host:port` of the broker behind. */
  readonly upstream: string
  /** Resets every open connection; new ones are served. */
  readonly cut: Effect.Effect<void>
  /** Holds bytes back without closing anything, on open connections and new ones, until `thaw`. */
  readonly freeze: (direction?: Direction) => Effect.Effect<void>
  readonly thaw: Effect.Effect<void>
  /** Holds each byte back for this long; zero ends it. */
  readonly delay: (duration: Duration.Input, direction?: Direction) => Effect.Effect<void>
  /** Bytes per second and connection; undefined ends it. */
  readonly limit: (bandwidth: number | undefined, direction?: Direction) => Effect.Effect<void>
  /** New connections are refused by the system, as when nobody listens, until `accept`. */
  readonly refuse: Effect.Effect<void>
  readonly accept: Effect.Effect<void>
  /**
   * Lets the next request (of this API key) through to the broker, swallows the answer and cuts that connection: the
   * client cannot know whether the request was carried out. The inner effect waits until it has happened.
   */
  readonly dropNextAnswer: (apiKey?: number) => Effect.Effect<Effect.Effect<void>>
  /** Cuts the connection in front of the next request (of this API key): the broker never sees it. */
  readonly dropNextRequest: (apiKey?: number) => Effect.Effect<Effect.Effect<void>>
  readonly traffic: Effect.Effect<Traffic>
}

interface Order {
  readonly kind: "answer" | "request"
  readonly apiKey: number | undefined
  readonly done: Deferred.Deferred<void>
}

interface Pair {
  readonly client: net.Socket
  readonly lanes: ReadonlyArray<Lane>
  readonly close: (reset: boolean) => void
}

const tlsHandshake = 0x16

/**
 * Starts a proxy in front of `upstream` (`host:port`), on `port` of the loopback address or on a free one. It ends with
 * the scope.
 *
 * @category constructors
 * @since 0.1.0
 */
export const make = (
  upstream: string,
  options: { readonly port?: number | undefined } = {}
): Effect.Effect<FaultProxy, never, Scope.Scope> =>
  Effect.map(
    Effect.acquireRelease(
      Effect.promise(() => start(upstream, options.port)),
      ({ stop }) => Effect.promise(stop)
    ),
    ({ proxy }) => proxy
  )

const start = async (
  upstream: string,
  wantedPort: number | undefined
): Promise<{ readonly proxy: FaultProxy; readonly stop: () => Promise<void> }> => {
  const colon = upstream.lastIndexOf(":")
  const target = { host: upstream.slice(0, colon), port: Number(upstream.slice(colon + 1)) }
  const toBroker: Weather = { frozen: false, delay: 0, bandwidth: Infinity }
  const toClient: Weather = { frozen: false, delay: 0, bandwidth: Infinity }
  const pairs = new Set<Pair>()
  const orders: Array<Order> = []
  const requests = new Map<number, number>()
  let connections = 0
  let bytesToBroker = 0
  let bytesToClient = 0

  const takeOrder = (kind: Order["kind"], apiKey: number): Order | undefined => {
    const at = orders.findIndex((one) => one.kind === kind && (one.apiKey === undefined || one.apiKey === apiKey))
    return at < 0 ? undefined : orders.splice(at, 1)[0]
  }

  const serve = (client: net.Socket): void => {
    connections++
    const broker = net.connect(target)
    client.setNoDelay(true)
    broker.setNoDelay(true)
    const up = makeLane(client, broker, toBroker, (bytes) => (bytesToBroker += bytes))
    const down = makeLane(broker, client, toClient, (bytes) => (bytesToClient += bytes))
    const close = (reset: boolean): void => {
      if (!pairs.delete(pair)) return
      up.dispose()
      down.dispose()
      broker.destroy()
      // While its end is on the way (`shutdown`), libuv refuses to reset a socket, and Node neither closes it nor lets the
      // process exit then: it waits for the close in a busy loop. That connection is ended anyway, so it is closed.
      const isEnding = client.writableEnded && !client.writableFinished
      if (reset && !isEnding) client.resetAndDestroy()
      else client.destroy()
    }
    const pair: Pair = { client, lanes: [up, down], close }
    pairs.add(pair)

    const lost = new Map<number, Order>()
    const finish = (order: Order): false => {
      // The bytes in front of the lost frame have been handed on in this turn; they leave before the reset.
      setImmediate(() => {
        close(true)
        Deferred.doneUnsafe(order.done, Effect.void)
      })
      return false
    }
    const requestFrames = makeFrames(8, (head) => {
      const apiKey = head.readInt16BE(0)
      const dropped = takeOrder("request", apiKey)
      if (dropped !== undefined) return finish(dropped)
      requests.set(apiKey, (requests.get(apiKey) ?? 0) + 1)
      const order = takeOrder("answer", apiKey)
      if (order !== undefined) lost.set(head.readInt32BE(4), order)
      return true
    })
    const answerFrames = makeFrames(4, (head) => {
      const order = lost.get(head.readInt32BE(0))
      return order === undefined ? true : finish(order)
    })
    let plain: boolean | undefined
    client.on("data", (chunk) => {
      plain ??= chunk[0] !== tlsHandshake
      const passing = plain ? requestFrames(chunk) : chunk
      if (passing.length > 0) up.push(passing)
    })
    broker.on("data", (chunk) => {
      const passing = plain === true ? answerFrames(chunk) : chunk
      if (passing.length > 0) down.push(passing)
    })
    client.on("end", up.end)
    broker.on("end", down.end)
    client.on("error", () => close(true))
    broker.on("error", () => close(true))
    // A broker that is gone still has its last bytes on their way; the client's end closes the pair.
    client.on("close", () => close(false))
  }

  const port = wantedPort ?? (await freePorts(1))[0]!
  let server: net.Server | undefined
  const listen = (): Promise<void> =>
    new Promise((resolve, reject) => {
      if (server !== undefined) return resolve()
      server = net.createServer({ allowHalfOpen: true }, serve)
      server.once("error", reject)
      server.listen(port, "127.0.0.1", resolve)
    })
  const unlisten = (): void => {
    server?.close()
    server = undefined
  }
  const poke = (): void => {
    for (const pair of pairs) for (const lane of pair.lanes) lane.poke()
  }
  const change = (direction: Direction, set: (weather: Weather) => void): Effect.Effect<void> =>
    Effect.sync(() => {
      if (direction !== "toClient") set(toBroker)
      if (direction !== "toBroker") set(toClient)
      poke()
    })
  const order = (kind: Order["kind"], apiKey: number | undefined) =>
    Effect.sync(() => {
      const done = Deferred.makeUnsafe<void>()
      orders.push({ kind, apiKey, done })
      return Deferred.await(done)
    })

  await listen()
  return {
    proxy: {
      address: `127.0.0.1:${port}`,
      upstream,
      cut: Effect.sync(() => {
        for (const pair of pairs) pair.close(true)
      }),
      freeze: (direction = "both") => change(direction, (weather) => (weather.frozen = true)),
      thaw: change("both", (weather) => (weather.frozen = false)),
      delay: (duration, direction = "both") => change(direction, (weather) => (weather.delay = D.toMillis(duration))),
      limit: (bandwidth, direction = "both") =>
        change(direction, (weather) => (weather.bandwidth = bandwidth ?? Infinity)),
      refuse: Effect.sync(unlisten),
      accept: Effect.promise(listen),
      dropNextAnswer: (apiKey) => order("answer", apiKey),
      dropNextRequest: (apiKey) => order("request", apiKey),
      traffic: Effect.sync(() => ({
        connections,
        open: pairs.size,
        bytesToBroker,
        bytesToClient,
        requests: new Map(requests)
      }))
    },
    stop: async () => {
      unlisten()
      for (const pair of pairs) pair.close(true)
    }
  }
}
