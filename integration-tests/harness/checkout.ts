import { cp } from 'node:fs/promises';
import { delimiter, join, relative } from 'node:path';
import { runCommand } from './command.ts';
import { ROOT } from './program.ts';

/** What a fresh checkout does not have. */
const NOT_TRACKED = new Set(['node_modules', 'dist', '.git', '.tincan-demo', 'bench-results.json']);

/** Copies this checkout as it is, without what was installed or built in it. */
export async function copyCheckout(to: string): Promise<void> {
  await cp(ROOT, to, {
    recursive: true,
    filter: (source) => !NOT_TRACKED.has(relative(ROOT, source)) && !source.endsWith('.tgz'),
  });
}

export interface HostNode {
  version: string;
  node: string;
  /** The search path with that Node first, and without the one that npm installed here. */
  path: string;
}

/** The first Node on the search path that `node_modules` did not bring: what a user's machine has. */
export async function hostNode({ signal }: { signal: AbortSignal }): Promise<HostNode | undefined> {
  const folders = (process.env['PATH'] ?? '')
    .split(delimiter)
    .filter((folder) => !folder.includes('node_modules'));
  for (const folder of folders) {
    const node = join(folder, 'node');
    const found = await runCommand([node, '--version'], { signal }).catch(() => undefined);
    if (found?.code === 0)
      return { version: found.stdout.trim().slice(1), node, path: folders.join(delimiter) };
  }
  return undefined;
}

/** What npm needs of the environment: its cache, its registry, its proxy. Not what `npm test` told the scripts it runs. */
export function npmEnvironment(path: string): NodeJS.ProcessEnv {
  const keep =
    /^(?:HOME|NODE_EXTRA_CA_CERTS|SSL_CERT_FILE|(?:https?|no)_proxy|npm_config_(?:cache|registry|userconfig))$/i;
  const kept = Object.entries(process.env).filter(([key]) => keep.test(key));
  return { ...Object.fromEntries(kept), PATH: path, npm_config_ignore_scripts: 'true' };
}
