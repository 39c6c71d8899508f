/** Numbers and times as the page says them. */

const whole = new Intl.NumberFormat("en-US")

export const count = (value: number): string => whole.format(value)

export const plural = (value: number, one: string, many = `${one}s`): string =>
  `${count(value)} ${value === 1 ? one : many}`

export const rate = (value: number): string =>
  value === 0 ? "0" : value < 10 ? value.toFixed(1) : count(Math.round(value))

/** How long ago, in as few letters as say it. */
export const ago = (millis: number): string => {
  const seconds = Math.floor(millis / 1000)
  if (seconds < 1) return "now"
  if (seconds < 60) return `${seconds} s`
  const minutes = Math.floor(seconds / 60)
  if (minutes < 60) return `${minutes} min`
  return `${Math.floor(minutes / 60)} h`
}

const clock = new Intl.DateTimeFormat("en-GB", { hour: "2-digit", minute: "2-digit", second: "2-digit" })
const calendar = new Intl.DateTimeFormat("en-GB", { day: "numeric", month: "short", year: "numeric" })

export const day = (at: number): string => calendar.format(at)

/** A moment of this day as a time, any other with its date. */
export const moment = (at: number, today: string): string => {
  if (at < 0) return "at no known time"
  return day(at) === today ? clock.format(at) : `${day(at)}, ${clock.format(at).slice(0, 5)}`
}
