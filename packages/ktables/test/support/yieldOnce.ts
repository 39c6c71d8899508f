/**
 * A scheduler that has one fiber yield where a busy one may: before any of its steps. What happens meanwhile is the test's to
 * choose, since that fiber goes on when it is released.
 */
import { Scheduler } from "effect"

export class YieldOnce implements Scheduler.Scheduler {
  readonly executionMode = "async"
  readonly #scheduler = new Scheduler.MixedScheduler()
  readonly #at: number
  #steps = 0
  #isYielding = false
  #held: (() => void) | undefined

  /** @param at the step, counted over all fibers of the scheduler from 1, before which its fiber yields */
  constructor(at: number) {
    this.#at = at
  }

  /** Whether that many steps were begun. */
  get hasYielded(): boolean {
    return this.#steps >= this.#at
  }

  shouldYield(): boolean {
    this.#isYielding = ++this.#steps === this.#at
    return this.#isYielding
  }

  makeDispatcher(): Scheduler.SchedulerDispatcher {
    const dispatcher = this.#scheduler.makeDispatcher()
    return {
      scheduleTask: (task, priority) => {
        if (!this.#isYielding) return dispatcher.scheduleTask(task, priority)
        this.#isYielding = false
        this.#held = task
      },
      flush: () => dispatcher.flush()
    }
  }

  release(): void {
    const held = this.#held
    this.#held = undefined
    held?.()
  }
}
