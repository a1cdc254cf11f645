import { readFileSync } from 'node:fs';

/** This package's version. From package.json: one folder up from the sources, two from the built program. */
export function readVersion(): string {
  for (const path of ['../package.json', '../../package.json']) {
    try {
      return (JSON.parse(readFileSync(new URL(path, import.meta.url), 'utf8')) as { version: string })
        .version;
    } catch {
      // The other place, then.
    }
  }
  return 'unknown';
}
