/**
 * Requests and answers over one socket: framing, correlation ids, time-outs, and an end that everybody hears of.
 *
 * A request is written to the socket within the call that sends it. Time-outs are in real time: a socket's other end
 * keeps it, whatever clock the program runs on.
 */
import { Effect } from "effect"
import type { KafkaError } from "effect-ktables/KafkaError"
import { ConnectionFailed, MalformedAnswer, RequestTimedOut } from "effect-ktables/KafkaError"
import type { RawRequest } from "effect-ktables/KafkaTransport"
import { behindTaggedFields, type Channel, LONGEST_TIMER } from "effect-ktables/TransportSupport"
import type { Socket } from "node:net"
import { makeAnswers, type Onread } from "./answers.ts"

/** Takes the one outcome of a request. */
type Settle = (outcome: Effect.Effect<Buffer, KafkaError>) => void

/** A channel that can be authenticated. */
export interface SocketChannel extends Channel {
  /** Like `send`, while others are held back. */
  readonly sendAhead: Channel["send"]
  /** Keeps further requests from being written until `release`; `then` runs once those that were are answered, or lost. */
  readonly hold: (then: () => void) => void
  readonly release: () => void
}

interface Pending {
  readonly request: RawRequest
  readonly settle: Settle
  timer: NodeJS.Timeout | undefined
  sentAt: number
  dropped: boolean
}

const apiVersionsKey = 18
const largestCorrelationId = 0x7fffffff
/** Above it a length is taken for bytes that are no answer at all. */
const largestAnswer = 0x40000000
/** A smaller body is written together with its header. */
const smallBody = 1 << 14
/** A smaller answer may share memory with others. */
const smallAnswer = 1 << 16

const nothing = Buffer.alloc(0)

/** Behind its correlation id an answer is the receiver's to keep. */
const memoryFor = ({ allocate }: RawRequest, bytes: number): Buffer =>
  allocate !== undefined
    ? allocate(bytes)
    : bytes <= smallAnswer
      ? Buffer.allocUnsafe(bytes)
      : Buffer.allocUnsafeSlow(bytes)

export interface ChannelOptions {
  /** `host:port`, for errors. */
  readonly broker: string
  readonly clientId: string
  /** Connects; the channel is usable once the socket is. */
  readonly connect: (onread: Onread) => Socket
}

export const makeChannel = ({
  broker,
  clientId,
  connect
}: ChannelOptions): { channel: SocketChannel; socket: Socket } => {
  const pending = new Map<number, Pending>()
  const held: Array<() => void> = []
  const clientIdBytes = Buffer.from(clientId)
  let nextCorrelationId = 0
  let holding = false
  let onDrained: (() => void) | undefined
  let lost: string | undefined
  let lostToPeer = false
  let lastRead = 0
  let timeoutsHeldUntil = 0
  let answered = 0

  const failed = (request: RawRequest, detail: string, cause?: unknown): ConnectionFailed =>
    new ConnectionFailed({ broker, request: request.apiName, detail, ...(cause === undefined ? {} : { cause }) })

  const settle = (entry: Pending, outcome: Effect.Effect<Buffer, KafkaError>): void => {
    clearTimeout(entry.timer)
    if (!entry.dropped) entry.settle(outcome)
  }

  const drained = (): void => {
    if (pending.size > 0) return
    const then = onDrained
    onDrained = undefined
    then?.()
  }

  const lose = (detail: string, cause?: unknown): void => {
    if (lost !== undefined) return
    lost = detail
    socket.destroy()
    const outstanding = [...pending.values()]
    pending.clear()
    for (const entry of outstanding) settle(entry, failed(entry.request, detail, cause))
    for (const write of held.splice(0)) write()
    drained()
  }

  const malformed = (entry: Pending | undefined, detail: string): void => {
    if (entry !== undefined) settle(entry, new MalformedAnswer({ broker, request: entry.request.apiName, detail }))
    lose(detail)
  }

  const onread = makeAnswers({
    progress: () => {
      lastRead = performance.now()
    },
    begin: (correlationId, length) => {
      const entry = pending.get(correlationId)
      if (entry === undefined || length > largestAnswer) {
        lose(`it sent what is no answer (correlation id ${correlationId}, ${length} bytes)`)
        return "refuse"
      }
      if (!entry.dropped) return memoryFor(entry.request, length)
      clearTimeout(entry.timer)
      pending.delete(correlationId)
      drained()
      return "skip"
    },
    complete: (correlationId, answer) => {
      const entry = pending.get(correlationId)
      if (entry === undefined) return
      pending.delete(correlationId)
      drained()
      if (entry.request.apiKey !== apiVersionsKey) answered++
      if (!entry.request.flexibleResponse) return settle(entry, Effect.succeed(answer))
      const body = behindTaggedFields(answer)
      if (body === undefined) return malformed(entry, "its header has no end")
      settle(entry, Effect.succeed(body))
    }
  })

  const onTimeout = (correlationId: number, entry: Pending): void => {
    // What has arrived meanwhile is read first: a busy or suspended process is no silent broker.
    setImmediate(() => {
      if (pending.get(correlationId) !== entry) return
      const { timeout } = entry.request
      const left = Math.max(entry.sentAt, lastRead, timeoutsHeldUntil) + timeout - performance.now()
      // A long answer that still flows in is not late.
      if (left > 1) {
        entry.timer = setTimeout(onTimeout, Math.min(left, LONGEST_TIMER), correlationId, entry)
        return
      }
      pending.delete(correlationId)
      settle(entry, new RequestTimedOut({ broker, request: entry.request.apiName, timeout }))
      lose(`given up, since ${entry.request.apiName} got no answer within ${timeout} ms`)
    })
  }

  const write = (entry: Pending): void => {
    const { request } = entry
    if (entry.dropped) return
    if (lost !== undefined) return settle(entry, failed(request, lost))
    const correlationId = nextCorrelationId
    nextCorrelationId = correlationId === largestCorrelationId ? 0 : correlationId + 1
    const headerLength = 14 + clientIdBytes.length + (request.flexibleRequest ? 1 : 0)
    const together = request.body.length <= smallBody
    const buffer = Buffer.allocUnsafe(headerLength + (together ? request.body.length : 0))
    buffer.writeInt32BE(headerLength - 4 + request.body.length, 0)
    buffer.writeInt16BE(request.apiKey, 4)
    buffer.writeInt16BE(request.apiVersion, 6)
    buffer.writeInt32BE(correlationId, 8)
    buffer.writeInt16BE(clientIdBytes.length, 12)
    clientIdBytes.copy(buffer, 14)
    if (request.flexibleRequest) buffer[headerLength - 1] = 0
    if (request.expectsAnswer) {
      entry.sentAt = performance.now()
      pending.set(correlationId, entry)
      entry.timer = setTimeout(onTimeout, request.timeout, correlationId, entry)
    }
    if (together) {
      buffer.set(request.body, headerLength)
      socket.write(buffer)
    } else {
      socket.cork()
      socket.write(buffer)
      socket.write(request.body)
      socket.uncork()
    }
    if (!request.expectsAnswer) settle(entry, Effect.succeed(nothing))
  }

  const submit = (request: RawRequest, settleWith: Settle, ahead: boolean): (() => void) => {
    const entry: Pending = { request, settle: settleWith, timer: undefined, sentAt: 0, dropped: false }
    if (holding && !ahead && lost === undefined) held.push(() => write(entry))
    else write(entry)
    // A dropped request keeps its time-out: callers that give up early must not keep a dead connection alive.
    return () => {
      entry.dropped = true
    }
  }

  const hungUp = (detail: string, cause?: Error): void => {
    lostToPeer ||= lost === undefined
    lose(detail, cause)
  }

  const socket = connect(onread)
  socket.on("error", (cause: Error) => hungUp(`the connection broke: ${cause.message}`, cause))
  socket.on("end", () => hungUp("the broker closed the connection"))
  socket.on("close", () => hungUp("the connection is closed"))

  return {
    socket,
    channel: {
      send: (request, settleWith) => submit(request, settleWith, false),
      sendAhead: (request, settleWith) => submit(request, settleWith, true),
      hold: (then) => {
        holding = true
        onDrained = then
        drained()
      },
      release: () => {
        holding = false
        for (const writeHeld of held.splice(0)) writeHeld()
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
}
