/**
 * A process of clients of HTTP that cost as little as possible, beside the server that is measured: plain sockets that follow
 * changes, some of which do not read, or that ask for one thing again and again. It is told what to do by its parent, a message each time.
 */
import { connect, type Socket } from "node:net"
import { histogram, percentiles, record } from "../harness/latency.ts"

export type Order =
  /** Opens streams of changes, and answers once each has had its snapshot. */
  | {
      readonly _tag: "Follow"
      readonly port: number
      readonly path: string
      readonly clients: number
      readonly stuck: number
    }
  /** Counts from here on how late changes are, by the time that is in them. */
  | { readonly _tag: "Count" }
  | { readonly _tag: "Report" }
  /** Asks on some connections, each for one thing at a time. */
  | {
      readonly _tag: "Ask"
      readonly port: number
      readonly path: string
      readonly connections: number
      readonly requests: number
    }

export interface Report {
  readonly p50: number
  readonly p99: number
  readonly max: number
  /** Events that were counted. */
  readonly events: number
  /** Milliseconds that it took. */
  readonly ms: number
}

/** Milliseconds since the epoch, of one clock for all processes. */
export const now = (): number => performance.timeOrigin + performance.now()

const sockets: Array<Socket> = []
let latencies = histogram()
let events = 0
let isCounting = false
const time = Buffer.from('"t":')
const caughtUp = Buffer.from("event: caughtup")

const requestOf = (path: string): string => `GET ${path} HTTP/1.1\r\nHost: localhost\r\n\r\n`

const follow = (port: number, path: string): Promise<void> =>
  new Promise((resolve, reject) => {
    const socket = connect(port, "127.0.0.1", () => socket.write(requestOf(path)))
    sockets.push(socket)
    socket.on("error", reject)
    let isThere = false
    socket.on("data", (bytes) => {
      if (!isThere) {
        if (!bytes.includes(caughtUp)) return
        isThere = true
        return resolve()
      }
      if (!isCounting) return
      // The oldest change of what came.
      const at = bytes.indexOf(time)
      if (at < 0) return
      const text = bytes.toString("latin1", at + time.length, at + time.length + 20)
      record(latencies, now() - Number.parseFloat(text))
      events++
    })
  })

/** One that asks, and reads nothing after the first bytes. */
const stick = (port: number, path: string): Promise<void> =>
  new Promise((resolve, reject) => {
    const socket = connect(port, "127.0.0.1", () => socket.write(requestOf(path)))
    sockets.push(socket)
    socket.on("error", reject)
    socket.once("data", () => {
      socket.pause()
      resolve()
    })
  })

/** Answers are told apart by their heads. */
const ask = (port: number, path: string, requests: number): Promise<void> =>
  new Promise((resolve, reject) => {
    const request = requestOf(path)
    let left = requests
    const socket = connect(port, "127.0.0.1", () => socket.write(request))
    socket.on("error", reject)
    socket.on("data", (bytes) => {
      if (!bytes.includes("HTTP/1.1 200")) return
      left--
      if (left > 0) socket.write(request)
      else {
        socket.destroy()
        resolve()
      }
    })
  })

const carryOut = async (order: Order): Promise<Report | undefined> => {
  switch (order._tag) {
    case "Follow":
      for (let i = 0; i < order.clients; i++) await follow(order.port, order.path)
      for (let i = 0; i < order.stuck; i++) await stick(order.port, order.path)
      return undefined
    case "Count":
      latencies = histogram()
      events = 0
      isCounting = true
      return undefined
    case "Report":
      isCounting = false
      return { ...percentiles(latencies), events, ms: 0 }
    case "Ask": {
      const started = performance.now()
      const each = Math.ceil(order.requests / order.connections)
      await Promise.all(Array.from({ length: order.connections }, () => ask(order.port, order.path, each)))
      return { p50: 0, p99: 0, max: 0, events: each * order.connections, ms: performance.now() - started }
    }
  }
}

process.on("message", async (order: Order) => {
  process.send!((await carryOut(order)) ?? null)
})
process.on("disconnect", () => process.exit(0))
