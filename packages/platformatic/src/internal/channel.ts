/**
 * Requests and answers over one `Connection` of @platformatic/kafka, through its public `send`.
 *
 * The client's own time-out is one per connection and starts anew for nobody, so requests are timed here. It also sends
 * requests of others in the middle of a renewal of the session, which a broker does not forgive (KIP-368); they are held
 * back here.
 */
import { type Connection, type Reader, UnexpectedCorrelationIdError, Writer } from "@platformatic/kafka"
import { Effect } from "effect"
import { ConnectionFailed, type KafkaError, MalformedAnswer, RequestTimedOut } from "effect-ktables/KafkaError"
import type { RawRequest } from "effect-ktables/KafkaTransport"
import { behindTaggedFields, type Channel, LONGEST_TIMER } from "effect-ktables/TransportSupport"

/** Takes the one outcome of a request. */
type Settle = (outcome: Effect.Effect<Buffer, KafkaError>) => void

interface Pending {
  readonly request: RawRequest
  readonly settle: Settle
  timer: NodeJS.Timeout | undefined
  readonly sentAt: number
  dropped: boolean
}

const apiVersionsKey = 18
const nothing = Buffer.alloc(0)

/** The answer behind its correlation id, in one piece. */
const takeAnswer = (_correlationId: number, _apiKey: number, _apiVersion: number, reader: Reader): Buffer =>
  reader.buffer.slice(reader.position)

export const makeChannel = (broker: string, connection: Connection): Channel => {
  const pending = new Set<Pending>()
  const held: Array<() => void> = []
  let lost: string | undefined
  let lostToPeer = false
  let lastRead = 0
  let timeoutsHeldUntil = 0
  let answered = 0

  const settle = (entry: Pending, outcome: Effect.Effect<Buffer, KafkaError>): void => {
    clearTimeout(entry.timer)
    if (pending.delete(entry) && !entry.dropped) entry.settle(outcome)
  }

  const failed = (request: RawRequest, detail: string, cause?: unknown): ConnectionFailed =>
    new ConnectionFailed({ broker, request: request.apiName, detail, ...(cause === undefined ? {} : { cause }) })

  const lose = (detail: string, cause?: unknown): void => {
    if (lost !== undefined) return
    lost = detail
    // `close` ends the renewals of the session but lets the socket flush, which a silent peer can put off for ever.
    connection.close(() => {})
    connection.socket.destroy()
    for (const entry of pending) settle(entry, failed(entry.request, detail, cause))
    for (const write of held.splice(0)) write()
  }

  const hungUp = (detail: string, cause?: unknown): void => {
    lostToPeer ||= lost === undefined
    lose(detail, cause)
  }

  connection.on("error", (error: Error) => {
    const cause = deepest(error)
    if (cause instanceof UnexpectedCorrelationIdError) return lose("it sent what is no answer", cause)
    hungUp(`the connection broke: ${cause.message}`, cause)
  })
  connection.on("close", () => hungUp("the broker closed the connection"))
  connection.on("connect", () => {
    for (const write of held.splice(0)) write()
  })
  connection.socket.on("data", () => {
    lastRead = performance.now()
  })

  const onTimeout = (entry: Pending): void => {
    // What has arrived meanwhile is read first: a busy or suspended process is no silent broker.
    setImmediate(() => {
      if (!pending.has(entry)) return
      const { apiName, timeout } = entry.request
      const left = Math.max(entry.sentAt, lastRead, timeoutsHeldUntil) + timeout - performance.now()
      // A long answer that still flows in is not late.
      if (left > 1) {
        entry.timer = setTimeout(onTimeout, Math.min(left, LONGEST_TIMER), entry)
        return
      }
      settle(entry, Effect.fail(new RequestTimedOut({ broker, request: apiName, timeout })))
      lose(`given up, since ${apiName} got no answer within ${timeout} ms`)
    })
  }

  const onAnswer = (entry: Pending, error: Error | null, answer: Buffer | undefined): void => {
    if (error !== null) return hungUp(deepest(error).message, error)
    const { apiKey, apiName, flexibleResponse } = entry.request
    if (apiKey !== apiVersionsKey) answered++
    const body = flexibleResponse ? behindTaggedFields(answer ?? nothing) : (answer ?? nothing)
    if (body !== undefined) return settle(entry, Effect.succeed(body))
    settle(entry, Effect.fail(new MalformedAnswer({ broker, request: apiName, detail: "its header has no end" })))
    lose("an answer could not be read")
  }

  const write = (entry: Pending): void => {
    const { request } = entry
    if (entry.dropped) return settle(entry, Effect.succeed(nothing))
    if (lost !== undefined) return settle(entry, failed(request, lost))
    connection.send<Buffer>(
      request.apiKey,
      request.apiVersion,
      () => {
        const writer = Writer.create().append(
          Buffer.from(request.body.buffer, request.body.byteOffset, request.body.byteLength)
        )
        writer.context["noResponse"] = !request.expectsAnswer
        return writer
      },
      takeAnswer,
      request.flexibleRequest,
      // The client skips one byte for the tagged fields of the header, however many there are.
      false,
      (error, answer) =>
        request.expectsAnswer || error !== null
          ? onAnswer(entry, error, answer)
          : settle(entry, Effect.succeed(nothing))
    )
  }

  return {
    send: (request, settleWith) => {
      const sentAt = performance.now()
      const entry: Pending = { request, settle: settleWith, timer: undefined, sentAt, dropped: false }
      pending.add(entry)
      // The client's own limit is out of the way, so a renewal that hangs ends with the first request that waits for it.
      entry.timer = setTimeout(onTimeout, request.timeout, entry)
      if (lost === undefined && connection.status === "reauthenticating") held.push(() => write(entry))
      else write(entry)
      // A dropped request keeps its time-out: callers that give up early must not keep a dead connection alive.
      return () => {
        entry.dropped = true
      }
    },
    isOpen: () => lost === undefined,
    answered: () => answered,
    holdTimeouts: (millis) => {
      timeoutsHeldUntil = Math.max(timeoutsHeldUntil, performance.now() + millis)
    },
    lostToPeer: () => lostToPeer,
    close: (detail) => lose(detail)
  }
}

/** The error that the client's errors are wrapped around. */
export const deepest = (error: Error): Error => {
  const inner = "errors" in error && Array.isArray(error.errors) ? error.errors[0] : error.cause
  return inner instanceof Error ? deepest(inner) : error
}
