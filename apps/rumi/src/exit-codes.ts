/** What the exit code of `rumi` says. Source: page 40, section 5. */
export const EXIT = {
  done: 0,
  failed: 1,
  usage: 2,
  refused: 3,
  unreachable: 4,
  conflict: 5,
  notFound: 6,
  changes: 10,
  timeout: 124,
  interrupted: 130,
} as const;

/** The exit code of an HTTP status. */
export function exitCodeOf(status: number): number {
  switch (status) {
    case 401:
    case 403:
      return EXIT.refused;
    case 404:
      return EXIT.notFound;
    case 408:
    case 504:
      return EXIT.timeout;
    case 409:
      return EXIT.conflict;
    case 503:
      return EXIT.unreachable;
    default:
      return status < 400 ? EXIT.done : EXIT.failed;
  }
}
