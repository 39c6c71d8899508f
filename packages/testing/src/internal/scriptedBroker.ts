/**
 * A server that takes Kafka's frames apart and answers with whatever bytes a test wants, where a real broker would not.
 */
import { Effect, type Scope } from "effect"
import * as net from "node:net"
import { freePorts } from "./ports.ts"

export interface ScriptedBroker {
  readonly address: string
  /** The requests received so far, each without its length. */
  readonly requests: ReadonlyArray<Buffer>
}

/** `answer` gets a request without its length, and gives the bytes to send as they are. */
export const scriptedBroker = (
  answer: (request: Buffer) => Buffer | undefined
): Effect.Effect<ScriptedBroker, never, Scope.Scope> =>
  Effect.suspend(() => {
    const requests: Array<Buffer> = []
    const sockets = new Set<net.Socket>()
    const server = net.createServer((socket) => {
      sockets.add(socket)
      socket.on("error", () => socket.destroy())
      socket.on("close", () => sockets.delete(socket))
      let received: Buffer = Buffer.alloc(0)
      socket.on("data", (chunk) => {
        received = Buffer.concat([received, chunk])
        while (received.length >= 4 && received.length >= 4 + received.readInt32BE(0)) {
          const end = 4 + received.readInt32BE(0)
          const request = received.subarray(4, end)
          received = received.subarray(end)
          requests.push(request)
          const bytes = answer(request)
          if (bytes !== undefined) socket.write(bytes)
        }
      })
    })
    const listen = async (): Promise<string> => {
      const [port] = await freePorts(1)
      await new Promise<void>((resolve, reject) => {
        server.once("error", reject)
        server.listen(port, "127.0.0.1", resolve)
      })
      return `127.0.0.1:${port}`
    }
    return Effect.map(
      Effect.acquireRelease(Effect.promise(listen), () =>
        Effect.sync(() => {
          server.close()
          for (const socket of sockets) socket.destroy()
        })
      ),
      (address) => ({ address, requests })
    )
  })

/** An answer's frame: its length, the correlation id of `request`, then `body`. */
export const frameAnswer = (request: Buffer, body: Buffer): Buffer => {
  const head = Buffer.alloc(8)
  head.writeInt32BE(4 + body.length, 0)
  head.writeInt32BE(request.readInt32BE(4), 4)
  return Buffer.concat([head, body])
}
