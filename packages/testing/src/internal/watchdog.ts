/**
 * Ends brokers and removes their files when this process ends, however it ends: a shell reads the process ids from a
 * pipe, and the pipe closes even when this process is killed.
 */
import { type ChildProcess, spawn } from "node:child_process"
import { mkdtempSync } from "node:fs"
import type { Socket } from "node:net"
import * as os from "node:os"
import * as path from "node:path"

interface Watchdog {
  readonly directory: string
  readonly shell: ChildProcess
  readonly pids: Set<number>
}

// Test runners evaluate a module once per project; the brokers of a process are still watched by one shell.
const slot = Symbol.for("@effect-ktables/testing/watchdog")
const registry = globalThis as { [slot]?: Watchdog }

const script = `pids=; while read -r line; do pids=$line; done
[ -n "$pids" ] && kill -9 $pids 2>/dev/null && sleep 1; rm -rf -- "$0"`

const watchdog = (): Watchdog => {
  const running = registry[slot]
  if (running !== undefined) return running
  const directory = mkdtempSync(path.join(os.tmpdir(), "effect-ktables-kafka-"))
  const shell = spawn("sh", ["-c", script, directory], { stdio: ["pipe", "ignore", "ignore"], detached: true })
  shell.unref()
  ;(shell.stdin as unknown as Socket).unref()
  return (registry[slot] = { directory, shell, pids: new Set() })
}

const report = (self: Watchdog): void => {
  self.shell.stdin!.write(`${[...self.pids].join(" ")}\n`)
}

/** A directory for brokers' files that does not outlive this process. */
export const temporaryRoot = (): string => watchdog().directory

/** Takes a child into care until it exits. */
export const watch = (child: ChildProcess): void => {
  const self = watchdog()
  const pid = child.pid
  if (pid === undefined) return
  self.pids.add(pid)
  report(self)
  child.once("exit", () => {
    self.pids.delete(pid)
    report(self)
  })
}
