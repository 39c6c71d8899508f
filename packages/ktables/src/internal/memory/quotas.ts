/**
 * Quotas of the client on each broker, measured as brokers measure them (KIP-13, KIP-124): a rate over eleven samples of a
 * second, of which the last one runs, and a throttle time after which the rate is the quota's again.
 */
import type { ClientQuotas } from "./model.ts"

type Quota = keyof ClientQuotas

const SAMPLE = 1000
const SAMPLES = 11
const WINDOW = (SAMPLES - 1) * SAMPLE

/** A quota on requests never holds a client back for longer. */
const MAX_REQUEST_THROTTLE = SAMPLE

/** What a request takes of a request thread, in milliseconds. */
const REQUEST_TIME = 1

class Meter {
  private samples: Array<{ readonly start: number; value: number }> = []

  /** Counts a value, and gives the milliseconds after which the rate is `perMilli` again. */
  record(value: number, now: number, perMilli: number): number {
    this.samples = this.samples.filter(({ start }) => now - start < SAMPLES * SAMPLE)
    const last = this.samples.at(-1)
    if (last === undefined || now - last.start >= SAMPLE) this.samples.push({ start: now, value })
    else last.value += value
    const sum = this.samples.reduce((total, sample) => total + sample.value, 0)
    // Samples that are still to come count as if they had passed, so that a burst of their size is allowed at once.
    const elapsed = now - this.samples[0]!.start
    const window = elapsed + Math.max(0, WINDOW - Math.floor(elapsed / SAMPLE) * SAMPLE)
    return Math.max(0, Math.ceil(sum / perMilli - window))
  }

  /** Takes back what was just counted. */
  unrecord(value: number): void {
    const last = this.samples.at(-1)
    if (last !== undefined) last.value -= value
  }
}

export class Quotas {
  private quotas: ClientQuotas = {}
  private meters = new Map<string, Meter>()

  set(quotas: ClientQuotas): void {
    this.quotas = quotas
    this.meters = new Map()
  }

  /** What a fetch may bring at most: the quota of a whole window. */
  get fetchable(): number {
    const rate = this.quotas.consumer_byte_rate
    return rate === undefined ? Number.POSITIVE_INFINITY : (rate * WINDOW) / 1000
  }

  /** Counts a request, and the bytes that it or its answer has, and gives the throttle time. */
  throttleOf(
    broker: number,
    { bytes, isAnswered, request }: { readonly request: string; readonly bytes: number; readonly isAnswered: boolean },
    now: number
  ): number {
    // What gets no answer takes no broker's time, by its reckoning.
    const time = isAnswered ? REQUEST_TIME : 0
    const byRequest = this.charge(broker, "request_percentage", time, now, (percent) => percent / 100)
    const bytesQuota =
      request === "fetch" ? "consumer_byte_rate" : request === "produce" ? "producer_byte_rate" : undefined
    const byBytes =
      bytesQuota === undefined ? 0 : this.charge(broker, bytesQuota, bytes, now, (perSecond) => perSecond / 1000)
    const throttle = Math.max(Math.min(byRequest, MAX_REQUEST_THROTTLE), byBytes)
    // What a throttled fetch has found is not sent.
    if (throttle > 0 && request === "fetch") this.meters.get(`${broker} consumer_byte_rate`)?.unrecord(bytes)
    return throttle
  }

  private charge(broker: number, quota: Quota, value: number, now: number, perMilli: (of: number) => number): number {
    const bound = this.quotas[quota]
    if (bound === undefined) return 0
    const place = `${broker} ${quota}`
    let meter = this.meters.get(place)
    if (meter === undefined) {
      meter = new Meter()
      this.meters.set(place, meter)
    }
    return value === 0 ? 0 : meter.record(value, now, perMilli(bound))
  }
}
