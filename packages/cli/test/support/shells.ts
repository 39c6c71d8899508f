/** Shells that complete what is typed into them, with the script that the command gives for them. */
import { Effect } from "effect"
import { spawn, spawnSync } from "node:child_process"
import * as path from "node:path"

export interface Shell {
  /** As `--completions` takes it. */
  readonly name: "bash" | "zsh" | "fish" | "powershell"
  readonly program: string
  /** What the line becomes: all that the shell writes while it does it. */
  readonly complete: (script: string, line: string, wanted: string) => Effect.Effect<string>
}

/** Types on a pseudo-terminal: first the set-up, then the line with a tab, and waits for what is wanted. */
const typed =
  (program: string, setup: (script: string) => string): Shell["complete"] =>
  (script, line, wanted) =>
    Effect.acquireUseRelease(
      Effect.sync(() => spawn("script", ["-qec", program, "/dev/null"], { env: { ...process.env, TERM: "dumb" } })),
      (child) =>
        Effect.callback<string>((resume) => {
          let text = ""
          let isReady = false
          child.stdout.setEncoding("utf8").on("data", (more: string) => {
            text += more
            if (!isReady && text.includes("ready1")) {
              isReady = true
              text = ""
              child.stdin.write(`${line}\t`)
            } else if (isReady && text.includes(wanted)) resume(Effect.succeed(text))
          })
          child.on("close", () => resume(Effect.die(new Error(`${program} ended after:\n${text}`))))
          // What is echoed of it is not what it prints.
          child.stdin.write(`${setup(script)}; echo ready$((1))\n`)
        }).pipe(
          Effect.timeoutOrElse({
            duration: "30 seconds",
            orElse: () => Effect.die(new Error(`${program} did not complete ${line} to ${wanted}`))
          })
        ),
      // The shell ends with its terminal.
      (child) => Effect.sync(() => child.kill("SIGKILL"))
    )

const printed =
  (program: string, args: (script: string, line: string) => ReadonlyArray<string>): Shell["complete"] =>
  (script, line) =>
    Effect.sync(() => {
      const { stderr, stdout } = spawnSync(program, args(script, line), { encoding: "utf8" })
      return stdout + stderr
    })

export const shells: ReadonlyArray<Shell> = [
  {
    name: "bash",
    program: "bash",
    complete: typed("bash --norc --noprofile -i", (script) => `source '${script}'`)
  },
  {
    name: "zsh",
    program: "zsh",
    complete: typed("zsh -f -i", (script) => `autoload -Uz compinit; compinit -u -D; source '${script}'`)
  },
  {
    name: "fish",
    program: "fish",
    complete: printed("fish", (script, line) => ["--no-config", "-c", `source '${script}'; complete -C '${line}'`])
  },
  {
    name: "powershell",
    program: "pwsh",
    complete: printed("pwsh", (script, line) => [
      "-NoProfile",
      "-Command",
      `. '${script}'; (TabExpansion2 '${line}' ${line.length}).CompletionMatches.CompletionText`
    ])
  }
]

/** Whether a program is on this machine. */
export const isThere = (program: string): boolean =>
  (process.env["PATH"] ?? "").split(path.delimiter).some((folder) => {
    const { status } = spawnSync("test", ["-x", path.join(folder, program)])
    return status === 0
  })
