/**
 * A transport over a bare socket, without TLS or SASL: the protocol is tested against a broker without any client's help.
 */
import { Effect } from "effect"
import { ConnectionFailed, type KafkaError } from "effect-ktables/KafkaError"
import type { BrokerAddress, KafkaConnection, KafkaTransport, RawRequest } from "effect-ktables/KafkaTransport"
import * as net from "node:net"

export const clientId = "protocol-test"

export const parseAddress = (address: string): BrokerAddress => {
  const colon = address.lastIndexOf(":")
  return { host: address.slice(0, colon), port: Number(address.slice(colon + 1)) }
}

/** A transport to `brokers` that shows each answer's body to `onAnswer` before it is decoded. */
export const socketTransport = (
  brokers: ReadonlyArray<string>,
  onAnswer: (request: RawRequest, body: Buffer) => void = () => {}
): KafkaTransport["Service"] => ({
  bootstrap: brokers.map(parseAddress),
  clientId,
  open: (address) =>
    Effect.acquireRelease(connect(address), ({ socket }) => Effect.sync(() => socket.destroy())).pipe(
      Effect.map(({ socket }) => converse(address, socket, onAnswer))
    )
})

const connect = ({ host, port }: BrokerAddress): Effect.Effect<{ readonly socket: net.Socket }, ConnectionFailed> =>
  Effect.callback((resume) => {
    const socket = net.connect({ host, port })
    socket.setNoDelay(true)
    const fail = (cause: Error) =>
      resume(
        Effect.fail(
          new ConnectionFailed({ broker: `${host}:${port}`, request: "connect", detail: cause.message, cause })
        )
      )
    socket.once("error", fail)
    socket.once("connect", () => {
      socket.off("error", fail)
      resume(Effect.succeed({ socket }))
    })
    return Effect.sync(() => socket.destroy())
  })

const converse = (
  address: BrokerAddress,
  socket: net.Socket,
  onAnswer: (request: RawRequest, body: Buffer) => void
): KafkaConnection => {
  const broker = `${address.host}:${address.port}`
  const waiting = new Map<
    number,
    {
      readonly request: RawRequest
      readonly settle: (outcome: Effect.Effect<Buffer, KafkaError>) => void
    }
  >()
  let correlation = 0
  let received: Buffer = Buffer.alloc(0)
  const lost = (detail: string) => {
    for (const { request, settle } of waiting.values()) {
      settle(Effect.fail(new ConnectionFailed({ broker, request: request.apiName, detail })))
    }
    waiting.clear()
  }
  socket.on("error", (error) => lost(error.message))
  socket.on("close", () => lost("the connection was closed"))
  socket.on("data", (chunk) => {
    received = received.length === 0 ? chunk : Buffer.concat([received, chunk])
    while (received.length >= 4 && received.length >= 4 + received.readInt32BE(0)) {
      const end = 4 + received.readInt32BE(0)
      const frame = received.subarray(4, end)
      received = received.subarray(end)
      const id = frame.readInt32BE(0)
      const waiter = waiting.get(id)
      waiting.delete(id)
      if (waiter === undefined) continue
      // A header of version 1 ends with tagged fields; brokers send none.
      const body = frame.subarray(waiter.request.flexibleResponse ? 5 : 4)
      onAnswer(waiter.request, body)
      waiter.settle(Effect.succeed(body))
    }
  })
  return {
    address,
    isOpen: () => !socket.destroyed && !socket.readableEnded,
    holdTimeouts: () => {},
    send: (request) =>
      Effect.callback((resume) => {
        if (socket.destroyed) {
          return resume(
            Effect.fail(new ConnectionFailed({ broker, request: request.apiName, detail: "the connection is closed" }))
          )
        }
        const id = correlation++
        const header = Buffer.alloc(14 + clientId.length + (request.flexibleRequest ? 1 : 0))
        header.writeInt32BE(header.length - 4 + request.body.length, 0)
        header.writeInt16BE(request.apiKey, 4)
        header.writeInt16BE(request.apiVersion, 6)
        header.writeInt32BE(id, 8)
        header.writeInt16BE(clientId.length, 12)
        header.write(clientId, 14)
        if (request.expectsAnswer) waiting.set(id, { request, settle: resume })
        socket.write(header)
        socket.write(request.body)
        if (!request.expectsAnswer) resume(Effect.succeed(Buffer.alloc(0)))
        return Effect.sync(() => waiting.delete(id))
      })
  }
}
