/** Memory of this process after garbage collection; needs `--expose-gc`. */
const collect = (): void => {
  if (globalThis.gc === undefined) throw new Error("run with --expose-gc")
  // Buffers are freed by finalizers, which run after the first collection.
  for (let i = 0; i < 4; i++) globalThis.gc()
}

export interface MemoryUse {
  readonly rss: number
  /** The JavaScript heap and the buffers outside of it. */
  readonly heap: number
}

export const memoryUse = (): MemoryUse => {
  collect()
  const { rss, heapUsed, external } = process.memoryUsage()
  return { rss, heap: heapUsed + external }
}

export const mebibytes = (bytes: number): number => Math.round(bytes / 2 ** 20)

export const rssMiB = (): number => mebibytes(process.memoryUsage.rss())
