/** How long the event loop is kept by what runs on it. */
import { Effect } from "effect"
import { PerformanceObserver } from "node:perf_hooks"

/** The longest turn, by each of these measures. */
export interface Longest {
  readonly max: number
  /** Of the loop's thread, which other load on the machine disturbs less, and without the threads that collect garbage beside it. */
  readonly cpuMs: number
  /** Of that, what the loop's thread did not spend on collecting garbage. */
  readonly withoutGc: number
}

/** Milliseconds below which a turn is not looked at again. */
const NOTABLE = 1

/**
 * The longest turn until `isOver`, in milliseconds. Keeps a core busy meanwhile: there is nothing else to be measured.
 */
export const longestTurn = (isOver: () => boolean): Effect.Effect<Longest> =>
  Effect.callback((resume) => {
    const turns: Array<{ readonly started: number; readonly ended: number; readonly cpu: number }> = []
    const collected: Array<{ readonly startTime: number; readonly duration: number }> = []
    // Hears of collections a turn after them, at the earliest.
    const observer = new PerformanceObserver((list) => void collected.push(...list.getEntries()))
    observer.observe({ entryTypes: ["gc"] })
    let max = 0
    let cpuMs = 0
    const end = (): void => {
      collected.push(...observer.takeRecords())
      observer.disconnect()
      const withoutGc = turns.map(
        ({ cpu, ended, started }) =>
          cpu -
          collected.reduce(
            (sum, { duration, startTime }) =>
              sum + Math.max(0, Math.min(ended, startTime + duration) - Math.max(started, startTime)),
            0
          )
      )
      resume(Effect.succeed({ max, cpuMs, withoutGc: Math.max(0, ...withoutGc) }))
    }
    let started = performance.now()
    let before = process.threadCpuUsage()
    const look = (): void => {
      const { system, user } = process.threadCpuUsage(before)
      const ended = performance.now()
      const cpu = (system + user) / 1000
      if (cpu >= NOTABLE) turns.push({ started, ended, cpu })
      max = Math.max(max, ended - started)
      cpuMs = Math.max(cpuMs, cpu)
      started = performance.now()
      before = process.threadCpuUsage()
      if (isOver()) setImmediate(end)
      else setImmediate(look)
    }
    setImmediate(look)
  })
