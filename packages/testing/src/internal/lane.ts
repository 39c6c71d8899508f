/**
 * One direction of a proxied connection: holds bytes back while frozen, delayed or over the bandwidth limit.
 */
import type { Socket } from "node:net"

/** The weather on a lane; shared by all lanes of a proxy and changed while they run. */
export interface Weather {
  frozen: boolean
  /** Milliseconds. */
  delay: number
  /** Bytes per second. */
  bandwidth: number
}

const held = 1 << 20
const smallest = 16

export interface Lane {
  /** Takes bytes of the source. */
  readonly push: (chunk: Buffer) => void
  /** The source has ended: the target is ended behind the last byte. */
  readonly end: () => void
  /** The weather has changed. */
  readonly poke: () => void
  readonly dispose: () => void
}

export const makeLane = (source: Socket, target: Socket, weather: Weather, count: (bytes: number) => void): Lane => {
  const queue: Array<{ chunk: Buffer; due: number }> = []
  let queued = 0
  let ended = false
  let blocked = false
  let nextSend = 0
  let timer: NodeJS.Timeout | undefined

  const wake = (ms: number): void => {
    clearTimeout(timer)
    timer = setTimeout(pump, ms)
  }

  const pump = (): void => {
    clearTimeout(timer)
    timer = undefined
    while (!weather.frozen && !blocked && !target.destroyed) {
      const head = queue[0]
      if (head === undefined) {
        if (ended) target.end()
        break
      }
      const now = Date.now()
      const due = Math.max(head.due, nextSend)
      if (due > now) return wake(due - now)
      let chunk = head.chunk
      if (Number.isFinite(weather.bandwidth)) {
        // Slices of about 20 ms keep a slow lane flowing rather than bursting.
        const slice = Math.max(smallest, Math.floor(weather.bandwidth / 50))
        if (chunk.length > slice) {
          chunk = head.chunk.subarray(0, slice)
          head.chunk = head.chunk.subarray(slice)
        } else queue.shift()
        nextSend = now + (chunk.length * 1000) / weather.bandwidth
      } else queue.shift()
      queued -= chunk.length
      count(chunk.length)
      blocked = !target.write(chunk)
    }
    if (queued < held && source.isPaused() && !ended) source.resume()
  }

  target.on("drain", () => {
    blocked = false
    pump()
  })

  return {
    push: (chunk) => {
      queue.push({ chunk, due: weather.delay > 0 ? Date.now() + weather.delay : 0 })
      queued += chunk.length
      if (queued >= held) source.pause()
      pump()
    },
    end: () => {
      ended = true
      pump()
    },
    poke: pump,
    dispose: () => clearTimeout(timer)
  }
}
