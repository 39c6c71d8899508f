/** Which process this is, in words that others can judge by whether it is alive. */
import { randomUUID } from "node:crypto"
import type * as Fs from "node:fs/promises"
import type * as Os from "node:os"

/** A process. */
export interface Process {
  readonly host: string
  readonly pid: number
  /** Of the machine's last start, and of the namespace of the pid; empty where nobody says. */
  readonly boot: string
  readonly namespace: string
  /** When it began, which tells it from a later one with its number; empty where nobody says. */
  readonly began: string
  /** No other process has it, nor another thread of this one. */
  readonly id: string
}

const id = randomUUID()

/** The process's start, in ticks since the machine's; behind the name in brackets, which may hold anything. */
const beganIn = (stat: string): string => stat.slice(stat.lastIndexOf(")") + 2).split(" ")[19] ?? ""

const textOf = (read: Promise<string>): Promise<string> => read.then((text) => text.trim()).catch(() => "")

const beganOf = (fs: typeof Fs, pid: number): Promise<string> =>
  textOf(fs.readFile(`/proc/${pid}/stat`, "utf8").then(beganIn))

/** This one. */
export const current = async (fs: typeof Fs, os: typeof Os): Promise<Process> => ({
  host: os.hostname(),
  pid: process.pid,
  boot: await textOf(fs.readFile("/proc/sys/kernel/random/boot_id", "utf8")),
  namespace: await textOf(fs.readlink("/proc/self/ns/pid")),
  began: await beganOf(fs, process.pid),
  id
})

/** Whether another process is alive; undefined where that cannot be seen from this one. */
export const isAlive = async (fs: typeof Fs, other: Process, self: Process): Promise<boolean | undefined> => {
  if (other.id === self.id) return true
  if (other.host !== self.host) return undefined
  // A machine that has started again has none of its former processes.
  if (other.boot !== self.boot) return false
  if (other.namespace !== self.namespace) return undefined
  try {
    process.kill(other.pid, 0)
  } catch (error) {
    // One that may not be asked is there.
    if ((error as NodeJS.ErrnoException).code !== "EPERM") return false
  }
  return other.began === "" ? undefined : other.began === (await beganOf(fs, other.pid))
}
