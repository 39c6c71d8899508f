/**
 * The channel of one socket: frames requests, and cuts what arrives into answers. A request is written to the socket within
 * the call that sends it.
 */
import type { RawRequest } from "effect-ktables/KafkaTransport"
import { makeRequestChannel, type RequestChannel } from "effect-ktables/TransportSupport"
import type { Socket } from "node:net"
import { makeAnswers, type Onread } from "./answers.ts"

/** Above it a length is taken for bytes that are no answer at all. */
const largestAnswer = 0x40000000
/** A smaller body is written together with its header. */
const smallBody = 1 << 14
/** A smaller answer may share memory with others. */
const smallAnswer = 1 << 16

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
}: ChannelOptions): { channel: RequestChannel; socket: Socket } => {
  const clientIdBytes = Buffer.from(clientId)

  const write = (request: RawRequest, correlationId: number, written: () => void): void => {
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
    if (together) {
      buffer.set(request.body, headerLength)
      socket.write(buffer)
    } else {
      socket.cork()
      socket.write(buffer)
      socket.write(request.body)
      socket.uncork()
    }
    if (!request.expectsAnswer) written()
  }

  const channel = makeRequestChannel(broker, { write, destroy: () => socket.destroy() })
  const socket = connect(
    makeAnswers({
      progress: channel.progress,
      begin: (correlationId, length) => {
        const request = length > largestAnswer ? undefined : channel.begin(correlationId)
        if (request === undefined) {
          channel.close(`it sent what is no answer (correlation id ${correlationId}, ${length} bytes)`)
          return "refuse"
        }
        return request === "dropped" ? "skip" : memoryFor(request, length)
      },
      complete: channel.complete
    })
  )
  socket.on("error", (cause: Error) => channel.hungUp(`the connection broke: ${cause.message}`, cause))
  socket.on("end", () => channel.hungUp("the broker closed the connection"))
  socket.on("close", () => channel.hungUp("the connection is closed"))
  return { channel, socket }
}
