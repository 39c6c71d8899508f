/**
 * Opens a socket to a broker, plain or with TLS, and a channel over it.
 */
import { Effect } from "effect"
import { AuthenticationFailed, ConnectionFailed } from "effect-ktables/KafkaError"
import type { BrokerAddress } from "effect-ktables/KafkaTransport"
import { explainTlsError, formatAddress, type NotOpened, type RequestChannel } from "effect-ktables/TransportSupport"
import * as net from "node:net"
import * as tls from "node:tls"
import { makeChannel } from "./channel.ts"

const keepAliveDelay = 60_000

export interface ConnectOptions {
  readonly address: BrokerAddress
  readonly clientId: string
  /** Undefined for a plain connection. */
  readonly tls: tls.ConnectionOptions | undefined
  /** Milliseconds, the TLS handshake included. */
  readonly timeout: number
}

/** The socket is destroyed when the effect is interrupted, and is the caller's to close once it has succeeded. */
export const connect = (options: ConnectOptions): Effect.Effect<RequestChannel, NotOpened> =>
  Effect.callback((resume) => {
    const { address, clientId, timeout } = options
    const broker = formatAddress(address)
    const { channel, socket } = makeChannel({
      broker,
      clientId,
      connect: (onread) => {
        const target = { host: address.host, port: address.port, onread }
        if (options.tls === undefined) return net.connect(target)
        const name = net.isIP(address.host) === 0 ? { servername: address.host } : {}
        // Node takes `onread` here as for a plain socket; its types do not say so.
        return tls.connect({ ...name, ...options.tls, ...target } as tls.ConnectionOptions)
      }
    })
    socket.setNoDelay(true)
    socket.setKeepAlive(true, keepAliveDelay)

    const fail = (detail: string, hungUp: boolean, cause?: Error): void => {
      clearTimeout(timer)
      const sentence = options.tls === undefined ? undefined : explainTlsError(cause)
      const because = cause === undefined ? {} : { cause }
      const error =
        sentence === undefined
          ? new ConnectionFailed({ broker, request: "connect", detail, ...because })
          : new AuthenticationFailed({ broker, detail: sentence, ...because })
      resume(Effect.fail({ error, hungUp }))
      channel.close(detail)
    }
    let isAccepted = false
    socket.once("connect", () => {
      isAccepted = true
    })
    const late = (): string =>
      isAccepted
        ? `it accepted the connection and did not answer the TLS handshake within ${timeout} ms`
        : `no connection within ${timeout} ms`
    const timer = setTimeout(() => fail(late(), false), timeout)
    const onError = (cause: Error): void => fail(cause.message, "code" in cause && cause.code === "ECONNRESET", cause)
    const onClose = (): void => fail("the broker closed the connection", true)
    socket.once("error", onError)
    socket.once("close", onClose)
    socket.once(options.tls === undefined ? "connect" : "secureConnect", () => {
      clearTimeout(timer)
      socket.off("error", onError)
      socket.off("close", onClose)
      resume(Effect.succeed(channel))
    })
    return Effect.sync(() => {
      clearTimeout(timer)
      channel.close("the attempt was given up")
    })
  })
