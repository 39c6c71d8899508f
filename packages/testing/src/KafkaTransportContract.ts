/**
 * What every `KafkaTransport` does, as tests: run them on a transport with `suite(name, make)`.
 *
 * They need the Kafka of the test run, and a secured broker on the local JVM.
 *
 * @since 0.1.0
 */
import { assert, describe, it } from "@effect/vitest"
import { Context, type Duration, Effect, Exit, Fiber, Layer, Redacted, Scope } from "effect"
import type { KafkaTransport, RawRequest } from "effect-ktables/KafkaTransport"
import { parseBrokers, type PasswordSasl, type TokenSasl } from "effect-ktables/TransportSupport"
import * as FaultProxy from "./FaultProxy.ts"
import { frameAnswer, scriptedBroker } from "./internal/scriptedBroker.ts"
import * as TestKafka from "./TestKafka.ts"

/**
 * The options a transport under test is made with.
 *
 * @category models
 * @since 0.1.0
 */
export interface Options {
  readonly brokers: string
  readonly connectionTimeout?: Duration.Input
  readonly ssl?: boolean | { readonly ca: string }
  readonly sasl?: PasswordSasl | TokenSasl
}

type Transport = KafkaTransport["Service"]

const patience = 10_000

const request = (overrides: Partial<RawRequest>): RawRequest => ({
  apiKey: 3,
  apiName: "Metadata",
  // The lowest that tables speak, which every broker knows that they run on.
  apiVersion: 9,
  flexibleRequest: true,
  flexibleResponse: true,
  expectsAnswer: true,
  // No topics, none created, no authorized operations of the cluster or of topics, no tagged fields.
  body: Buffer.from([1, 0, 0, 0, 0]),
  timeout: patience,
  ...overrides
})

const metadata = request({})

const apiVersions = request({
  apiKey: 18,
  apiName: "ApiVersions",
  apiVersion: 0,
  flexibleRequest: false,
  flexibleResponse: false,
  body: Buffer.alloc(0)
})

/** One secured broker for all the tests of a suite. Its sessions are short, so that a test sees them renewed. */
class Secured extends Context.Service<Secured, TestKafka.SecureCluster>()(
  "@effect-ktables/testing/KafkaTransportContract/Secured"
) {
  static readonly layer = Layer.effect(Secured, TestKafka.startSecure({ sessionLifetime: "3 seconds" }))
}

const firstOf = (brokers: string) => parseBrokers(brokers)[0]!

const connect = (make: (options: Options) => Transport, options: Options) =>
  make(options).open(firstOf(options.brokers))

/** A connection to the broker of the run, through a proxy of its own. */
const throughProxy = (make: (options: Options) => Transport) =>
  Effect.gen(function* () {
    const [broker] = (yield* TestKafka.TestKafka).brokers
    const proxy = yield* FaultProxy.make(broker!)
    return { proxy, connection: yield* connect(make, { brokers: proxy.address }) }
  })

/** What a client gets that connects and asks for the versions and then for the metadata, as the protocol does. */
const visit = (make: (options: Options) => Transport, options: Options) =>
  Effect.gen(function* () {
    const connection = yield* connect(make, options)
    yield* connection.send(apiVersions)
    return yield* connection.send(metadata)
  }).pipe(Effect.scoped)

/** Waits in real time until the condition holds. */
const until = (condition: Effect.Effect<boolean>): Effect.Effect<void> =>
  Effect.gen(function* () {
    const giveUp = performance.now() + patience
    while (!(yield* condition)) {
      assert.isBelow(performance.now(), giveUp, "the condition did not come to hold")
      yield* Effect.promise(() => new Promise((resolve) => setTimeout(resolve, 5)))
    }
  })

/** How many sockets and timers this process has, also those that would let it exit. */
const handles = (): { readonly sockets: number; readonly timers: number } => {
  const names = process.getActiveResourcesInfo()
  return {
    sockets: names.filter((name) => name.startsWith("TCP") || name.startsWith("TLS")).length,
    timers: names.filter((name) => name === "Timeout").length
  }
}

/** Runs an effect, closes its scope, and waits until no socket and no further timer is left in this process. */
const leavesNothing = <E>(effect: Effect.Effect<unknown, E, Scope.Scope>): Effect.Effect<void, E> =>
  Effect.gen(function* () {
    yield* until(Effect.sync(() => handles().sockets === 0))
    const { timers } = handles()
    yield* Effect.scoped(effect)
    yield* until(Effect.sync(() => handles().sockets === 0 && handles().timers <= timers)).pipe(
      Effect.tapCause(() => Effect.sync(() => assert.deepStrictEqual(handles(), { sockets: 0, timers })))
    )
  })

/** Starts to connect to what does not answer, and is interrupted. */
const interrupted = (make: (options: Options) => Transport, options: Options) =>
  Effect.gen(function* () {
    const proxy = yield* FaultProxy.make(options.brokers)
    yield* proxy.freeze()
    const opening = yield* Effect.forkScoped(connect(make, { ...options, brokers: proxy.address }))
    yield* until(Effect.map(proxy.traffic, ({ open }) => open === 1))
    yield* Fiber.interrupt(opening)
  })

/** The refusal a client meets that no retry will change. */
const refusal = (make: (options: Options) => Transport, options: Options) =>
  Effect.map(Effect.flip(visit(make, options)), (error) => {
    assert.strictEqual(error._tag, "AuthenticationFailed", error.message)
    assert.isFalse(error.isRetriable)
    assert.include(error.message, options.brokers)
    return error
  })

const encoded = (value: object): string => Buffer.from(JSON.stringify(value)).toString("base64url")

/** An unsigned token, as the test broker takes it. */
const token = (expiresIn: number): string => {
  const now = Math.floor(Date.now() / 1000)
  return `${encoded({ alg: "none" })}.${encoded({ sub: "alice", iat: now - 7200, exp: now + expiresIn })}.`
}

/**
 * Declares the suite for the transport that `make` makes. Time is real.
 *
 * @category suites
 * @since 0.1.0
 */
export const suite = (name: string, make: (options: Options) => Transport): void => {
  describe(`${name} keeps the contract of KafkaTransport`, () => {
    it.layer(TestKafka.layer)("on a broker", (it) => {
      it.effect("gives each of a hundred requests at once its own answer", () =>
        Effect.gen(function* () {
          const [broker] = (yield* TestKafka.TestKafka).brokers
          const connection = yield* connect(make, { brokers: broker! })
          // Versions 0 and 3 of the answer differ in their fifth byte: an array's length, and a compact one.
          const kinds = Array.from({ length: 100 }, (_, index) => index % 2 === 0)
          const answers = yield* Effect.forEach(kinds, (old) => connection.send(old ? apiVersions : metadata), {
            concurrency: "unbounded"
          })
          const sizes = new Set(answers.filter((_, index) => kinds[index]).map((answer) => answer.length))
          assert.strictEqual(sizes.size, 1)
          const others = new Set(answers.filter((_, index) => !kinds[index]).map((answer) => answer.length))
          assert.strictEqual(others.size, 1)
          assert.isFalse(others.has([...sizes][0]!))
        })
      )

      it.effect("interrupting a send drops its answer and leaves the connection usable", () =>
        Effect.gen(function* () {
          const { connection, proxy } = yield* throughProxy(make)
          const expected = yield* connection.send(metadata)
          yield* proxy.freeze("toClient")
          const fiber = yield* Effect.forkChild(connection.send(apiVersions), { startImmediately: true })
          yield* Fiber.interrupt(fiber)
          yield* proxy.thaw
          assert.isTrue((yield* connection.send(metadata)).equals(expected))
          assert.isTrue(connection.isOpen())
        })
      )

      it.effect("a silent broker fails the request that was late and gives the connection up", () =>
        Effect.gen(function* () {
          const { connection, proxy } = yield* throughProxy(make)
          yield* connection.send(metadata)
          yield* proxy.freeze()
          const patient = yield* Effect.forkChild(Effect.flip(connection.send(metadata)), { startImmediately: true })
          const late = yield* Effect.flip(connection.send(request({ timeout: 200 })))
          assert.strictEqual(late._tag, "RequestTimedOut")
          assert.strictEqual((yield* Fiber.join(patient))._tag, "ConnectionFailed")
          assert.isFalse(connection.isOpen())
          assert.strictEqual((yield* Effect.flip(connection.send(metadata)))._tag, "ConnectionFailed")
        })
      )

      it.effect("requests that wait for a broker that throttles are not late before its time is over", () =>
        Effect.gen(function* () {
          const { connection, proxy } = yield* throughProxy(make)
          yield* connection.send(metadata)
          yield* proxy.freeze()
          const since = performance.now()
          const outstanding = yield* Effect.forkChild(Effect.flip(connection.send(request({ timeout: 100 }))), {
            startImmediately: true
          })
          connection.holdTimeouts(500)
          assert.strictEqual((yield* Fiber.join(outstanding))._tag, "RequestTimedOut")
          assert.isAtLeast(performance.now() - since, 590)
        })
      )

      it.effect("callers that give up early do not keep a dead connection alive", () =>
        Effect.gen(function* () {
          const { connection, proxy } = yield* throughProxy(make)
          yield* connection.send(metadata)
          yield* proxy.freeze()
          const impatient = yield* Effect.forkChild(connection.send(request({ timeout: 200 })), {
            startImmediately: true
          })
          yield* Fiber.interrupt(impatient)
          assert.isTrue(connection.isOpen())
          yield* until(Effect.sync(() => !connection.isOpen()))
        })
      )

      it.effect("an answer that still flows in is not late", () =>
        Effect.gen(function* () {
          const { connection, proxy } = yield* throughProxy(make)
          const expected = yield* connection.send(apiVersions)
          const timeout = 500
          // Three times as long as the time-out.
          yield* proxy.limit(expected.length / ((3 * timeout) / 1000), "toClient")
          const answer = yield* connection.send({ ...apiVersions, timeout })
          assert.isTrue(answer.equals(expected))
        })
      )

      it.effect("a connection that breaks fails what is outstanding, without a wait", () =>
        Effect.gen(function* () {
          const { connection, proxy } = yield* throughProxy(make)
          yield* connection.send(metadata)
          const dropped = yield* proxy.dropNextAnswer(3)
          const error = yield* Effect.flip(connection.send(metadata))
          yield* dropped
          assert.strictEqual(error._tag, "ConnectionFailed")
          assert.include(error.message, "Metadata")
          assert.isFalse(connection.isOpen())
        })
      )

      it.effect("closing the scope fails what is outstanding, without waiting for the broker", () =>
        Effect.gen(function* () {
          const [broker] = (yield* TestKafka.TestKafka).brokers
          const proxy = yield* FaultProxy.make(broker!)
          const scope = yield* Scope.make()
          const connection = yield* Scope.provide(connect(make, { brokers: proxy.address }), scope)
          yield* connection.send(metadata)
          yield* proxy.freeze()
          const waiting = yield* Effect.forkChild(Effect.flip(connection.send(metadata)), { startImmediately: true })
          const since = performance.now()
          yield* Scope.close(scope, Exit.void)
          assert.strictEqual((yield* Fiber.join(waiting))._tag, "ConnectionFailed")
          assert.isBelow(performance.now() - since, 1000)
          assert.isFalse(connection.isOpen())
        })
      )

      it.effect("a port where nobody listens, and a name that nobody has, are named at once", () =>
        Effect.gen(function* () {
          const refused = yield* Effect.flip(visit(make, { brokers: "127.0.0.1:1" }))
          assert.strictEqual(refused._tag, "ConnectionFailed")
          assert.include(refused.message, "127.0.0.1:1")
          assert.include(refused.message, "ECONNREFUSED")
          const unknown = yield* Effect.flip(visit(make, { brokers: "nowhere.invalid:9092" }))
          assert.strictEqual(unknown._tag, "ConnectionFailed")
          assert.include(unknown.message, "nowhere.invalid:9092")
        })
      )

      it.effect("twenty idle connections cost less than one percent of a core", () =>
        Effect.gen(function* () {
          const [broker] = (yield* TestKafka.TestKafka).brokers
          const connections = yield* Effect.forEach(Array.from({ length: 20 }), () =>
            connect(make, { brokers: broker! })
          )
          yield* Effect.forEach(connections, (connection) => connection.send(metadata))
          const quiet = 3000
          // Others may be busy in this process: the quietest of three spans counts.
          const shares: Array<number> = []
          while (shares.length < 3) {
            const before = process.cpuUsage()
            const since = performance.now()
            yield* Effect.promise(() => new Promise((resolve) => setTimeout(resolve, quiet)))
            const used = process.cpuUsage(before)
            shares.push((used.user + used.system) / 1000 / (performance.now() - since))
          }
          assert.isBelow(Math.min(...shares), 0.01)
        })
      )
    })

    describe("on the wire", () => {
      it.effect("writes header version 1, and version 2 with its tagged fields", () =>
        Effect.gen(function* () {
          const broker = yield* scriptedBroker((frame) => frameAnswer(frame, Buffer.from([0])))
          const transport = make({ brokers: broker.address })
          const connection = yield* transport.open(firstOf(broker.address))
          const body = Buffer.from("body")
          yield* connection.send(request({ apiKey: 7, apiVersion: 5, flexibleRequest: false, body }))
          yield* connection.send(request({ apiKey: 7, apiVersion: 6, flexibleRequest: true, body }))
          const clientId = Buffer.from(transport.clientId)
          const header = (frame: Buffer, version: number) =>
            Buffer.concat([
              Buffer.from([0, 7, 0, version]),
              frame.subarray(4, 8),
              Buffer.from([0, clientId.length]),
              clientId
            ])
          const [first, second] = broker.requests
          assert.deepStrictEqual(first, Buffer.concat([header(first!, 5), body]))
          assert.deepStrictEqual(second, Buffer.concat([header(second!, 6), Buffer.from([0]), body]))
        })
      )

      it.effect("takes off header version 0, and version 1 with whatever tagged fields it has", () =>
        Effect.gen(function* () {
          // Two tagged fields: number 3 with two bytes, number 300 with 130 bytes.
          const tags = Buffer.concat([Buffer.from([2, 3, 2, 9, 9, 0xac, 2, 0x82, 1]), Buffer.alloc(130, 9)])
          const broker = yield* scriptedBroker((frame) => frameAnswer(frame, Buffer.concat([tags, Buffer.from("x")])))
          const connection = yield* connect(make, { brokers: broker.address })
          assert.strictEqual((yield* connection.send(request({ flexibleResponse: true }))).toString(), "x")
          const whole = yield* connection.send(request({ flexibleResponse: false }))
          assert.deepStrictEqual(whole, Buffer.concat([tags, Buffer.from("x")]))
        })
      )

      it.effect("a request without an answer succeeds at once, and the next one gets its own", () =>
        Effect.gen(function* () {
          const broker = yield* scriptedBroker((frame) =>
            frame.readInt16BE(0) === 0 ? undefined : frameAnswer(frame, Buffer.from([0, 42]))
          )
          const connection = yield* connect(make, { brokers: broker.address })
          const nothing = yield* connection.send(request({ apiKey: 0, apiName: "Produce", expectsAnswer: false }))
          assert.strictEqual(nothing.length, 0)
          assert.deepStrictEqual(yield* connection.send(metadata), Buffer.from([42]))
          assert.deepStrictEqual(
            broker.requests.map((frame) => frame.readInt16BE(0)),
            [0, 3]
          )
        })
      )

      it.effect("an answer of 50 MB arrives byte for byte, and small ones in front of it and behind", () =>
        Effect.gen(function* () {
          const large = Buffer.alloc(50 << 20)
          for (let at = 0; at < large.length; at += 4) large.writeUInt32BE(at ^ 0x5bd1e995, at)
          const broker = yield* scriptedBroker((frame) =>
            frameAnswer(frame, frame.readInt16BE(0) === 1 ? large : Buffer.from([7]))
          )
          const connection = yield* connect(make, { brokers: broker.address })
          const small = request({ flexibleResponse: false })
          const [before, answer, behind] = yield* Effect.all(
            [connection.send(small), connection.send({ ...small, apiKey: 1 }), connection.send(small)],
            { concurrency: "unbounded" }
          )
          assert.deepStrictEqual(before, Buffer.from([7]))
          assert.isTrue(answer.equals(large))
          assert.deepStrictEqual(behind, Buffer.from([7]))
        })
      )

      it.effect("an answer for which memory is given is the same, byte for byte, and touches no other memory", () =>
        Effect.gen(function* () {
          // One tagged field, number 3 with two bytes, then the body.
          const tags = Buffer.from([1, 3, 2, 9, 9])
          const bodies = [0, 1, 5000, 65_537, 300_000, 7].map((length, index) =>
            Buffer.from(Uint8Array.from({ length }, (_, at) => (at * 31 + (at >> 8) * 7 + index) & 255))
          )
          const broker = yield* scriptedBroker((frame) =>
            frameAnswer(frame, Buffer.concat([tags, bodies[frame.readInt16BE(0)]!]))
          )
          const connection = yield* connect(make, { brokers: broker.address })
          const share = 400_000
          const used = 0xa5
          for (const flexibleResponse of [true, false]) {
            // Memory that has been in use before, with more on both sides of what is asked for.
            const memory = Buffer.alloc(share * bodies.length, used)
            const asked = bodies.map((): Array<number> => [])
            const requests = bodies.map((_, apiKey) => request({ apiKey, flexibleResponse }))
            const pairs = yield* Effect.forEach(
              requests,
              (plain) =>
                Effect.all(
                  [
                    connection.send(plain),
                    connection.send({
                      ...plain,
                      allocate: (bytes) => {
                        asked[plain.apiKey]!.push(bytes)
                        return memory.subarray(plain.apiKey * share + 1000).subarray(0, bytes)
                      }
                    })
                  ],
                  { concurrency: "unbounded" }
                ),
              { concurrency: "unbounded" }
            )
            for (const [index, [without, given]] of pairs.entries()) {
              const expected = flexibleResponse ? bodies[index]! : Buffer.concat([tags, bodies[index]!])
              assert.isTrue(without.equals(expected), `answer ${index} in memory of the transport`)
              assert.isTrue(given.equals(expected), `answer ${index} where memory is given`)
              assert.isAtMost(asked[index]!.length, 1)
              const begin = index * share + 1000
              const end = begin + (asked[index]![0] ?? 0)
              const around = Buffer.concat([
                memory.subarray(index * share, begin),
                memory.subarray(end, (index + 1) * share)
              ])
              assert.isTrue(
                around.every((byte) => byte === used),
                `memory around answer ${index}`
              )
            }
          }
        })
      )

      it.effect("a request of 5 MB arrives whole", () =>
        Effect.gen(function* () {
          const broker = yield* scriptedBroker((frame) => frameAnswer(frame, Buffer.from([0])))
          const connection = yield* connect(make, { brokers: broker.address })
          const body = Buffer.alloc(5 << 20, "0123456789")
          yield* connection.send(request({ body }))
          assert.isTrue(broker.requests[0]!.subarray(-body.length).equals(body))
        })
      )

      it.effect("an answer that nobody asked for ends the connection", () =>
        Effect.gen(function* () {
          const broker = yield* scriptedBroker((frame) => {
            const answer = frameAnswer(frame, Buffer.alloc(8))
            answer.writeInt32BE(frame.readInt32BE(4) + 1000, 4)
            return answer
          })
          const connection = yield* connect(make, { brokers: broker.address })
          assert.strictEqual((yield* Effect.flip(connection.send(metadata)))._tag, "ConnectionFailed")
          assert.isFalse(connection.isOpen())
        })
      )
    })

    describe("leaves no socket and no timer", () => {
      const silent = scriptedBroker(() => undefined)

      it.effect("when it is closed while answers are outstanding", () =>
        leavesNothing(
          Effect.gen(function* () {
            const connection = yield* connect(make, { brokers: (yield* silent).address })
            const late = request({ timeout: 10 * patience })
            const sends = yield* Effect.forEach([1, 2, 3], () =>
              Effect.forkScoped(Effect.exit(connection.send(late)), { startImmediately: true })
            )
            yield* Fiber.interrupt(sends[1]!)
          })
        )
      )

      it.effect("when it is closed after a request was late", () =>
        leavesNothing(
          Effect.gen(function* () {
            const connection = yield* connect(make, { brokers: (yield* silent).address })
            yield* Effect.flip(connection.send(request({ timeout: 100 })))
          })
        )
      )

      it.effect("when the broker hangs up in the middle of an answer", () =>
        leavesNothing(
          Effect.gen(function* () {
            const broker = yield* scriptedBroker((frame) => frameAnswer(frame, Buffer.alloc(10_000)).subarray(0, 5000))
            const proxy = yield* FaultProxy.make(broker.address)
            // It asks why over connections of its own, which get half an answer, too.
            const connection = yield* connect(make, { brokers: proxy.address, connectionTimeout: 200 })
            const sending = yield* Effect.forkScoped(Effect.flip(connection.send(metadata)))
            yield* until(Effect.map(proxy.traffic, ({ bytesToClient }) => bytesToClient === 5000))
            yield* proxy.cut
            yield* Fiber.join(sending)
          })
        )
      )

      it.effect("when the broker sends what is no answer", () =>
        leavesNothing(
          Effect.gen(function* () {
            const broker = yield* scriptedBroker(() => Buffer.alloc(64, 7))
            const connection = yield* connect(make, { brokers: broker.address })
            yield* Effect.flip(connection.send(request({ timeout: 200 })))
          })
        )
      )

      it.effect("when it connects by a name", () =>
        leavesNothing(
          Effect.gen(function* () {
            const broker = yield* scriptedBroker((frame) => frameAnswer(frame, Buffer.from([0])))
            const brokers = `localhost:${firstOf(broker.address).port}`
            yield* (yield* connect(make, { brokers })).send(metadata)
          })
        )
      )

      it.effect("when nobody listens", () => leavesNothing(Effect.flip(connect(make, { brokers: "127.0.0.1:1" }))))

      it.effect("when a TLS handshake is not answered in time", () =>
        leavesNothing(
          Effect.gen(function* () {
            const options = { brokers: (yield* silent).address, ssl: true, connectionTimeout: 100 }
            yield* Effect.flip(connect(make, options))
          })
        )
      )

      it.effect("when connecting is interrupted", () =>
        leavesNothing(
          Effect.gen(function* () {
            yield* interrupted(make, { brokers: (yield* silent).address, ssl: true })
          })
        )
      )
    })

    it.layer(Secured.layer)("at a door with a lock", (it) => {
      const alice = { username: "alice", password: Redacted.make("alice-secret") }
      const mechanisms = ["plain", "scram-sha-256", "scram-sha-512"] as const

      for (const mechanism of mechanisms) {
        it.effect(`${mechanism} opens it, with TLS and without`, () =>
          Effect.gen(function* () {
            const { ca, saslPlaintext, saslSsl } = yield* Secured
            const sasl = { mechanism, ...alice }
            assert.isAbove((yield* visit(make, { brokers: saslPlaintext, sasl })).length, 0)
            assert.isAbove((yield* visit(make, { brokers: saslSsl, sasl, ssl: { ca } })).length, 0)
          })
        )

        it.effect(`${mechanism} with a wrong password is refused in a sentence`, () =>
          Effect.gen(function* () {
            const { saslPlaintext } = yield* Secured
            const sasl = { mechanism, ...alice, password: Redacted.make("wrong") }
            const error = yield* refusal(make, { brokers: saslPlaintext, sasl })
            assert.include(error.message, "credentials")
            assert.notInclude(error.message, "wrong")
          })
        )
      }

      it.effect("a token opens it, and one that has expired does not", () =>
        Effect.gen(function* () {
          const { saslPlaintext } = yield* Secured
          const sasl = { mechanism: "oauthbearer", token: Effect.sync(() => token(3600)) } as const
          assert.isAbove((yield* visit(make, { brokers: saslPlaintext, sasl })).length, 0)
          const expired = { mechanism: "oauthbearer", token: Effect.sync(() => token(-3600)) } as const
          const error = yield* refusal(make, { brokers: saslPlaintext, sasl: expired })
          assert.include(error.message, "token")
        })
      )

      it.effect("a token that cannot be had may be had later", () =>
        Effect.gen(function* () {
          const { saslPlaintext } = yield* Secured
          const sasl = { mechanism: "oauthbearer", token: Effect.fail("the issuer is down") } as const
          const error = yield* Effect.flip(visit(make, { brokers: saslPlaintext, sasl }))
          assert.strictEqual(error._tag, "ConnectionFailed")
          assert.include(error.message, "the issuer is down")
        })
      )

      it.effect("TLS alone opens the listener that asks for no more", () =>
        Effect.gen(function* () {
          const { ca, ssl } = yield* Secured
          assert.isAbove((yield* visit(make, { brokers: ssl, ssl: { ca } })).length, 0)
        })
      )

      it.effect("a certificate that is not trusted is refused, and the sentence asks about the authority", () =>
        Effect.gen(function* () {
          const { ssl } = yield* Secured
          const error = yield* refusal(make, { brokers: ssl, ssl: true })
          assert.include(error.message, "certificate is not trusted")
        })
      )

      it.effect("TLS against a plain listener is named", () =>
        Effect.gen(function* () {
          const { brokers, ca } = yield* Secured
          const error = yield* refusal(make, { brokers: brokers[0]!, ssl: { ca } })
          assert.include(error.message, "speaks TLS and the listener does not")
        })
      )

      it.effect("a plain client at a TLS listener is told so", () =>
        Effect.gen(function* () {
          const { saslSsl, ssl } = yield* Secured
          const without = yield* refusal(make, { brokers: ssl })
          assert.include(without.message, "listener speaks TLS")
          const withSasl = yield* refusal(make, { brokers: saslSsl, sasl: { mechanism: "plain", ...alice } })
          assert.include(withSasl.message, "listener speaks TLS")
        })
      )

      it.effect("a client without SASL is told what the listener demands", () =>
        Effect.gen(function* () {
          const { ca, saslPlaintext, saslSsl } = yield* Secured
          const plain = yield* refusal(make, { brokers: saslPlaintext })
          assert.include(plain.message, "demands SASL")
          assert.include(plain.message, "SCRAM-SHA-512")
          const secured = yield* refusal(make, { brokers: saslSsl, ssl: { ca } })
          assert.include(secured.message, "demands SASL")
        })
      )

      it.effect("a client with SASL at a listener without it is told so", () =>
        Effect.gen(function* () {
          const { brokers } = yield* Secured
          const error = yield* refusal(make, { brokers: brokers[0]!, sasl: { mechanism: "plain", ...alice } })
          assert.include(error.message, "does not ask for it")
        })
      )

      it.effect("a broker that goes away in the middle is not taken for one that refuses", () =>
        Effect.gen(function* () {
          const { saslPlaintext } = yield* Secured
          const proxy = yield* FaultProxy.make(saslPlaintext)
          const handshake = 17
          const dropped = yield* proxy.dropNextAnswer(handshake)
          const visiting = yield* Effect.forkChild(
            Effect.flip(visit(make, { brokers: proxy.address, sasl: { mechanism: "plain", ...alice } })),
            { startImmediately: true }
          )
          yield* dropped
          assert.strictEqual((yield* Fiber.join(visiting))._tag, "ConnectionFailed")
        })
      )

      it.effect("an authentication without an answer ends in time, and may be tried again", () =>
        Effect.gen(function* () {
          const { saslPlaintext } = yield* Secured
          const proxy = yield* FaultProxy.make(saslPlaintext)
          yield* proxy.freeze()
          const sasl = { mechanism: "plain", ...alice } as const
          const since = performance.now()
          const options = { brokers: proxy.address, sasl, connectionTimeout: 300 }
          const error = yield* Effect.flip(visit(make, options))
          assert.isTrue(error.isRetriable, error.message)
          assert.isBelow(performance.now() - since, 3000)
        })
      )

      it.effect("interrupting an open leaves no connection behind", () =>
        Effect.gen(function* () {
          const { saslPlaintext } = yield* Secured
          const proxy = yield* FaultProxy.make(saslPlaintext)
          yield* proxy.freeze()
          const options = { brokers: proxy.address, sasl: { mechanism: "plain", ...alice } } as const
          const scope = yield* Effect.scope
          const opening = yield* Effect.forkChild(Scope.provide(connect(make, options), scope))
          yield* until(Effect.map(proxy.traffic, ({ open }) => open === 1))
          yield* Fiber.interrupt(opening)
          yield* proxy.thaw
          yield* until(Effect.map(proxy.traffic, ({ open }) => open === 0))
        })
      )

      it.effect("a session is renewed before it ends, beside requests under way", () =>
        Effect.gen(function* () {
          const { saslPlaintext } = yield* Secured
          const proxy = yield* FaultProxy.make(saslPlaintext)
          const connection = yield* connect(make, { brokers: proxy.address, sasl: { mechanism: "plain", ...alice } })
          const authentications = Effect.map(proxy.traffic, ({ requests }) => requests.get(36) ?? 0)
          while ((yield* authentications) < 4) yield* connection.send(metadata)
          assert.isAbove((yield* connection.send(metadata)).length, 0)
          assert.strictEqual((yield* proxy.traffic).connections, 1)
        })
      )

      it.effect("leaves no socket and no timer, whether it was let in, refused or interrupted", () =>
        Effect.gen(function* () {
          const { saslPlaintext, saslSsl } = yield* Secured
          const sasl = { mechanism: "scram-sha-256", ...alice } as const
          yield* leavesNothing(connect(make, { brokers: saslPlaintext, sasl }))
          yield* leavesNothing(interrupted(make, { brokers: saslPlaintext, sasl }))
          const wrong = { ...sasl, password: Redacted.make("wrong") }
          yield* leavesNothing(refusal(make, { brokers: saslPlaintext, sasl: wrong }))
          // To say why, it asks over connections of its own.
          yield* leavesNothing(refusal(make, { brokers: saslPlaintext }))
          yield* leavesNothing(refusal(make, { brokers: saslSsl }))
        })
      )

      it.effect("leaves no socket and no timer when it is closed while its session is renewed", () =>
        Effect.gen(function* () {
          const { saslPlaintext } = yield* Secured
          const renewing = Effect.gen(function* () {
            const proxy = yield* FaultProxy.make(saslPlaintext)
            const connection = yield* connect(make, { brokers: proxy.address, sasl: { mechanism: "plain", ...alice } })
            yield* connection.send(metadata)
            const bytes = yield* Effect.map(proxy.traffic, ({ bytesToBroker }) => bytesToBroker)
            yield* proxy.freeze("toClient")
            yield* until(Effect.map(proxy.traffic, ({ bytesToBroker }) => bytesToBroker > bytes))
          })
          yield* leavesNothing(renewing)
        })
      )

      it.effect("a session that cannot be renewed ends the connection, and another may be had later", () =>
        Effect.gen(function* () {
          const { saslPlaintext } = yield* Secured
          let issued = 0
          const once = Effect.suspend(() =>
            issued++ === 0 ? Effect.succeed(token(3600)) : Effect.fail("the issuer is down")
          )
          const connection = yield* connect(make, {
            brokers: saslPlaintext,
            sasl: { mechanism: "oauthbearer", token: once }
          })
          yield* connection.send(metadata)
          yield* until(Effect.sync(() => !connection.isOpen()))
          const error = yield* Effect.flip(connection.send(metadata))
          assert.strictEqual(error._tag, "ConnectionFailed")
          assert.include(error.message, "the issuer is down")
        })
      )
    })
  })
}
