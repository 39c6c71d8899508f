import { assert, describe, it } from "@effect/vitest"
import { FaultProxy } from "@effect-ktables/testing"
import { Effect, Exit, Latch, Scope } from "effect"
import * as net from "node:net"
import { frameAnswer, scriptedBroker } from "../src/internal/scriptedBroker.ts"

/** A request with nothing but what a proxy looks at: API key, version and correlation id. */
const request = (apiKey: number, correlationId: number): Buffer => {
  const frame = Buffer.alloc(12)
  frame.writeInt32BE(8, 0)
  frame.writeInt16BE(apiKey, 4)
  frame.writeInt32BE(correlationId, 8)
  return frame
}

interface Client {
  readonly socket: net.Socket
  readonly send: (...bytes: ReadonlyArray<Buffer>) => Effect.Effect<void>
  /** Waits in real time until this many bytes have come. */
  readonly received: (length: number) => Effect.Effect<Buffer>
  readonly bytes: () => number
  /** Waits for the end of the connection. */
  readonly ended: Effect.Effect<void>
}

const dial = (address: string) =>
  Effect.acquireRelease(
    Effect.callback<Client, Error>((resume) => {
      const [host, port] = address.split(":")
      const socket = net.connect({ host: host!, port: Number(port) })
      let bytes: Buffer = Buffer.alloc(0)
      const ended = Latch.makeUnsafe(false)
      let arrived: (() => void) | undefined
      socket.on("data", (chunk) => {
        bytes = Buffer.concat([bytes, chunk])
        arrived?.()
      })
      socket.on("error", (error) => resume(Effect.fail(error)))
      socket.on("close", () => ended.openUnsafe())
      socket.once("connect", () =>
        resume(
          Effect.succeed({
            socket,
            send: (...parts) => Effect.sync(() => parts.forEach((part) => socket.write(part))),
            bytes: () => bytes.length,
            received: (length) =>
              Effect.callback((done) => {
                arrived = () => {
                  if (bytes.length >= length) done(Effect.succeed(bytes))
                }
                arrived()
              }),
            ended: ended.await
          })
        )
      )
    }),
    ({ socket }) => Effect.sync(() => socket.destroy())
  )

const echo = scriptedBroker((frame) => frameAnswer(frame, Buffer.from([frame.readInt16BE(0)])))
const answerLength = 9

/** A server that is silent until it hangs up. */
const silent = Effect.acquireRelease(
  Effect.callback<{ readonly server: net.Server; readonly accepted: ReadonlyArray<net.Socket> }>((resume) => {
    const accepted: Array<net.Socket> = []
    const server = net.createServer((socket) => accepted.push(socket.resume()))
    server.listen(0, "127.0.0.1", () => resume(Effect.succeed({ server, accepted })))
  }),
  ({ accepted, server }) =>
    Effect.sync(() => {
      server.close()
      for (const socket of accepted) socket.destroy()
    })
).pipe(
  Effect.map(({ accepted, server }) => ({
    address: `127.0.0.1:${(server.address() as net.AddressInfo).port}`,
    /** Returns when the other end has read that its connection has ended, and has ended it, too. */
    hangUp: Effect.promise(() =>
      Promise.all(accepted.map((socket) => new Promise((closed) => socket.once("close", closed).end())))
    )
  }))
)

/** How many sockets this process has, those that nobody reads among them. */
const countSockets = () => process.getActiveResourcesInfo().filter((name) => name === "TCPSocketWrap").length

const setUp = Effect.gen(function* () {
  const broker = yield* echo
  const proxy = yield* FaultProxy.make(broker.address)
  const client = yield* dial(proxy.address)
  return { broker, proxy, client }
})

const elapsed = <A, E, R>(effect: Effect.Effect<A, E, R>) =>
  Effect.suspend(() => {
    const since = performance.now()
    return Effect.map(effect, () => performance.now() - since)
  })

describe("FaultProxy", () => {
  it.effect("passes bytes on both ways, and counts them and the requests by their key", () =>
    Effect.gen(function* () {
      const { client, proxy } = yield* setUp
      yield* client.send(request(3, 1), request(1, 2), request(1, 3))
      const answers = yield* client.received(3 * answerLength)
      assert.deepStrictEqual(
        [0, 1, 2].map((index) => answers.readInt32BE(index * answerLength + 4)),
        [1, 2, 3]
      )
      const traffic = yield* proxy.traffic
      assert.deepStrictEqual(
        [...traffic.requests],
        [
          [3, 1],
          [1, 2]
        ]
      )
      assert.strictEqual(traffic.bytesToBroker, 36)
      assert.strictEqual(traffic.bytesToClient, 3 * answerLength)
      assert.strictEqual(traffic.connections, 1)
      assert.strictEqual(traffic.open, 1)
    })
  )

  it.effect("follows requests whose bytes come one by one", () =>
    Effect.gen(function* () {
      const { client, proxy } = yield* setUp
      client.socket.setNoDelay(true)
      for (const byte of [...request(3, 1), ...request(18, 2)]) {
        yield* client.send(Buffer.from([byte]))
        yield* Effect.promise(() => new Promise((resolve) => setImmediate(resolve)))
      }
      yield* client.received(2 * answerLength)
      assert.deepStrictEqual([...(yield* proxy.traffic).requests.keys()], [3, 18])
    })
  )

  it.effect("cutting ends the open connections, and new ones are served", () =>
    Effect.gen(function* () {
      const { client, proxy } = yield* setUp
      yield* client.send(request(3, 1))
      yield* client.received(answerLength)
      yield* proxy.cut
      yield* client.ended
      const again = yield* dial(proxy.address)
      yield* again.send(request(3, 1))
      yield* again.received(answerLength)
    })
  )

  it.effect("freezing holds answers back, thawing lets them go, and nothing is lost", () =>
    Effect.gen(function* () {
      const { broker, client, proxy } = yield* setUp
      yield* client.send(request(3, 1))
      yield* client.received(answerLength)
      yield* proxy.freeze("toClient")
      yield* client.send(request(3, 2))
      const other = yield* dial(broker.address)
      yield* other.send(request(3, 1))
      yield* other.received(answerLength)
      assert.strictEqual(client.bytes(), answerLength)
      yield* proxy.thaw
      yield* client.received(2 * answerLength)
    })
  )

  it.effect("delays each way, and limits the bytes per second", () =>
    Effect.gen(function* () {
      const { client, proxy } = yield* setUp
      yield* client.send(request(3, 1))
      yield* client.received(answerLength)
      yield* proxy.delay("60 millis")
      yield* client.send(request(3, 2))
      assert.isAtLeast(yield* elapsed(client.received(2 * answerLength)), 115)
      yield* proxy.delay(0)
      yield* proxy.limit(100, "toBroker")
      yield* client.send(request(3, 3), request(3, 4))
      // 24 bytes at 100 per second; the first slice of 16 leaves at once.
      assert.isAtLeast(yield* elapsed(client.received(4 * answerLength)), 140)
    })
  )

  it.effect("loses the answer to the next request of a key, behind the answers in front of it", () =>
    Effect.gen(function* () {
      const { broker, client, proxy } = yield* setUp
      const dropped = yield* proxy.dropNextAnswer(0)
      yield* client.send(request(3, 1), request(0, 2), request(3, 3))
      yield* dropped
      yield* client.ended
      assert.strictEqual(client.bytes(), answerLength)
      assert.include(
        broker.requests.map((frame) => frame.readInt16BE(0)),
        0
      )
    })
  )

  it.effect("keeps the next request of a key from the broker", () =>
    Effect.gen(function* () {
      const { broker, client, proxy } = yield* setUp
      yield* client.send(request(3, 1))
      yield* client.received(answerLength)
      const dropped = yield* proxy.dropNextRequest(0)
      yield* client.send(request(0, 2))
      yield* dropped
      yield* client.ended
      assert.deepStrictEqual(
        broker.requests.map((frame) => frame.readInt16BE(0)),
        [3]
      )
    })
  )

  it.effect("refuses new connections until it accepts them again, on the same port", () =>
    Effect.gen(function* () {
      const { client, proxy } = yield* setUp
      yield* proxy.refuse
      const refused = yield* Effect.flip(dial(proxy.address))
      assert.include(refused.message, "ECONNREFUSED")
      yield* client.send(request(3, 1))
      yield* client.received(answerLength)
      yield* proxy.accept
      const again = yield* dial(proxy.address)
      yield* again.send(request(3, 1))
      yield* again.received(answerLength)
    })
  )

  it.effect("ends with its scope, and its connections with it", () =>
    Effect.gen(function* () {
      const broker = yield* echo
      const scope = yield* Scope.make()
      const proxy = yield* Scope.provide(FaultProxy.make(broker.address), scope)
      const client = yield* dial(proxy.address)
      yield* client.send(request(3, 1))
      yield* client.received(answerLength)
      yield* Scope.close(scope, Exit.void)
      yield* client.ended
      assert.include((yield* Effect.flip(dial(proxy.address))).message, "ECONNREFUSED")
    })
  )

  // Node takes a socket whose reset fails for closed, and then waits for its end for ever when the process exits.
  it.effect("leaves no socket when it cuts a connection that is just being ended", () =>
    Effect.gen(function* () {
      const before = countSockets()
      const client = yield* Effect.scoped(
        Effect.gen(function* () {
          const broker = yield* silent
          const proxy = yield* FaultProxy.make(broker.address)
          const client = yield* dial(proxy.address)
          yield* proxy.freeze("toClient")
          yield* client.send(request(3, 1))
          while ((yield* proxy.traffic).bytesToBroker === 0) yield* Effect.yieldNow
          yield* broker.hangUp
          // The end goes to the client and is cut within one turn of the event loop.
          yield* proxy.thaw
          yield* proxy.cut
          return client
        })
      )
      yield* client.ended
      const since = performance.now()
      while (countSockets() > before && performance.now() - since < 5000) {
        yield* Effect.promise(() => new Promise((resolve) => setImmediate(resolve)))
      }
      assert.strictEqual(countSockets(), before)
    })
  )
})
