/** Wall and CPU time from now on, the CPU time of all threads of the process. */
export const stopwatch = (): (() => { readonly ms: number; readonly cpuMs: number }) => {
  const cpu = process.cpuUsage()
  const started = performance.now()
  return () => {
    const ms = performance.now() - started
    const { system, user } = process.cpuUsage(cpu)
    return { ms, cpuMs: (system + user) / 1000 }
  }
}
