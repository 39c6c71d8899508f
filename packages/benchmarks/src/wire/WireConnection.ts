/**
 * One plaintext TCP connection to a broker, with nothing between the socket and the caller: what the floor of the
 * replay is measured on, and what fills the benchmark's topics.
 */
import * as net from "node:net"
import { Writer } from "./bytes.ts"

interface Pending {
  readonly resolve: (answer: Buffer) => void
  readonly reject: (error: Error) => void
}

const clientId = "effect-ktables-benchmarks"

/** Request header v1: https://kafka.apache.org/protocol.html#protocol_messages. */
const frame = (apiKey: number, apiVersion: number, correlationId: number, body: Buffer): Buffer => {
  const header = new Writer().i16(apiKey).i16(apiVersion).i32(correlationId).string(clientId).done()
  return Buffer.concat([new Writer().i32(header.length + body.length).done(), header, body])
}

export class WireConnection {
  /** Bytes read off the socket so far, frames included. */
  bytesRead = 0
  private readonly socket: net.Socket
  // A connection answers in the order it was asked (one handler per connection on the broker), so a queue is enough.
  private readonly pending: Array<Pending> = []
  private size = Buffer.alloc(4)
  private sizeRead = 0
  private answer: Buffer | undefined
  private answerRead = 0
  private correlationId = 0

  constructor(socket: net.Socket) {
    this.socket = socket
    socket.setNoDelay(true)
    socket.on("data", (chunk) => this.onData(chunk))
    socket.on("error", (error) => this.fail(error))
    socket.on("close", () => this.fail(new Error("the broker closed the connection")))
  }

  static connect(address: { readonly host: string; readonly port: number }): Promise<WireConnection> {
    return new Promise((resolve, reject) => {
      const socket = net.connect(address)
      socket.once("error", reject)
      socket.once("connect", () => {
        socket.off("error", reject)
        resolve(new WireConnection(socket))
      })
    })
  }

  /** Sends a request and returns the answer's body, behind response header v0. */
  send(apiKey: number, apiVersion: number, body: Buffer): Promise<Buffer> {
    return new Promise((resolve, reject) => {
      this.pending.push({ resolve, reject })
      this.socket.write(frame(apiKey, apiVersion, this.correlationId++, body))
    })
  }

  close(): void {
    this.socket.destroy()
  }

  private onData(chunk: Buffer): void {
    this.bytesRead += chunk.length
    let at = 0
    while (at < chunk.length) {
      if (this.answer === undefined) {
        const taken = chunk.copy(this.size, this.sizeRead, at)
        this.sizeRead += taken
        at += taken
        if (this.sizeRead < 4) return
        this.answer = Buffer.allocUnsafeSlow(this.size.readInt32BE())
        this.answerRead = 0
      }
      const taken = chunk.copy(this.answer, this.answerRead, at)
      this.answerRead += taken
      at += taken
      if (this.answerRead === this.answer.length) {
        const answer = this.answer
        this.answer = undefined
        this.sizeRead = 0
        this.pending.shift()?.resolve(answer.subarray(4))
      }
    }
  }

  private fail(error: Error): void {
    for (const { reject } of this.pending.splice(0)) reject(error)
  }
}
