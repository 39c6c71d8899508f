export interface Elapsed {
  readonly ms: number
  /** Processor time of all threads of the process. */
  readonly cpuMs: number
  /** Of the thread that asks, which runs the event loop: without those that compile and collect garbage beside it. */
  readonly loopMs: number
}

const millis = ({ system, user }: NodeJS.CpuUsage): number => (system + user) / 1000

/** Wall and processor time from now on. */
export const stopwatch = (): (() => Elapsed) => {
  const cpu = process.cpuUsage()
  const loop = process.threadCpuUsage()
  const started = performance.now()
  return () => {
    const ms = performance.now() - started
    return { ms, cpuMs: millis(process.cpuUsage(cpu)), loopMs: millis(process.threadCpuUsage(loop)) }
  }
}
