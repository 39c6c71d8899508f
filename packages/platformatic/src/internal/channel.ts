/**
 * The channel of one `Connection` of @platformatic/kafka, through its public `send`.
 *
 * The client's own time-out is one per connection and starts again for nobody, so requests are timed by the channel. The
 * client also sends requests of others in the middle of a renewal of the session, which a broker does not forgive
 * (KIP-368); the channel holds them back. Nothing else would notice a renewal that hangs: what waits for it is timed, too.
 */
import { type Connection, type Reader, UnexpectedCorrelationIdError, Writer } from "@platformatic/kafka"
import type { RawRequest } from "effect-ktables/KafkaTransport"
import { type Channel, makeRequestChannel } from "effect-ktables/TransportSupport"

const nothing = Buffer.alloc(0)

/** The answer behind its correlation id, in one piece. */
const takeAnswer = (_correlationId: number, _apiKey: number, _apiVersion: number, reader: Reader): Buffer =>
  reader.buffer.slice(reader.position)

export const makeChannel = (broker: string, connection: Connection): Channel => {
  const write = (request: RawRequest, correlationId: number, written: () => void): void => {
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
      (error, answer) => {
        if (error !== null) channel.hungUp(deepest(error).message, error)
        else if (request.expectsAnswer) channel.complete(correlationId, answer ?? nothing)
        else written()
      }
    )
  }

  const channel = makeRequestChannel(broker, {
    write,
    destroy: () => {
      // `close` ends the renewals of the session but lets the socket flush, which a silent peer can put off for ever.
      connection.close(() => {})
      connection.socket.destroy()
    },
    isHolding: () => connection.status === "reauthenticating",
    timesHeld: true
  })
  connection.on("error", (error: Error) => {
    const cause = deepest(error)
    if (cause instanceof UnexpectedCorrelationIdError) return channel.close("it sent what is no answer", cause)
    channel.hungUp(`the connection broke: ${cause.message}`, cause)
  })
  connection.on("close", () => channel.hungUp("the broker closed the connection"))
  connection.on("connect", channel.release)
  connection.socket.on("data", channel.progress)
  return channel
}

/** The error that the client's errors are wrapped around. */
export const deepest = (error: Error): Error => {
  const inner = "errors" in error && Array.isArray(error.errors) ? error.errors[0] : error.cause
  return inner instanceof Error ? deepest(inner) : error
}
