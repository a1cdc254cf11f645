import { parse } from 'smol-toml';
import { resolveConfiguration } from '../../../cli/configuration.ts';
import { readSocketPath } from '../../../cli/daemon-address.ts';
import { parseDuration } from '../../../cli/duration.ts';
import { SETTINGS } from '../../../cli/settings.ts';
import type { Program } from '../../../cli/settings.ts';
import { ADDRESSES } from '../fuzz/fuzz-papers.ts';
import { textFrom } from '../fuzz/fuzz-mutation.ts';
import type { Decoder, Subject } from '../subject.ts';

const bytes = (text: string): Uint8Array => new Uint8Array(Buffer.from(text));

/** A file that is there; what stands in it is passed over for the input. */
const FILE = import.meta.filename;

function fileDecoder(program: Program, samples: readonly string[]): Decoder {
  return {
    name: `config.toml of ${program}`,
    decode: (input) =>
      resolveConfiguration({
        program,
        flags: new Map([['config', FILE]]),
        env: {},
        home: '/home/ada',
        parseToml: () => parse(textFrom(input)),
      }).settings.map(({ value }) => value),
    refusals: ['UsageError'],
    samples: () => samples.map(bytes),
  };
}

export const subject: Subject = {
  name: 'config',
  decoders: [
    fileDecoder('daemon', [
      `name = "ada"\nbootstrap = [ "${ADDRESSES[0]}" ]\nhttp = "[::1]:0"\nunlisted = true\n`,
      `# comment\ndht = 'auto'\nlog_level = """debug"""\ndata_dir = "~/x\\u00e9"\nlisten = []\n`,
    ]),
    fileDecoder('bootstrap', [
      `max_connections = 1_000\nmailbox_bytes = 0x1000\nannounce = ["${ADDRESSES[2]}"]\n`,
      'http = "localhost:1"\nlog_level = "info"\n',
    ]),
    {
      name: 'environment variables',
      decode(input) {
        // A setting, and what the variable of that name holds.
        const { env, defaults } = SETTINGS[(input[0] ?? 0) % SETTINGS.length]!;
        return resolveConfiguration({
          program: 'daemon' in defaults ? 'daemon' : 'bootstrap',
          flags: new Map([['config', FILE]]),
          env: { [env]: textFrom(input.subarray(1)) },
          home: '/home/ada',
          parseToml: () => ({}),
        }).settings.map(({ value }) => value);
      },
      refusals: ['UsageError'],
      samples: () =>
        SETTINGS.map(({ type, choices, shape }, number) => {
          const text =
            shape === 'address'
              ? '127.0.0.1:0'
              : { list: ADDRESSES.join(', '), switch: 'true', number: '17', text: 'x', choice: choices?.[0] }[
                  type
                ];
          return bytes(`${String.fromCharCode(number)}${text}`);
        }),
    },
    {
      name: 'duration',
      decode: (input) => parseDuration(textFrom(input)) ?? 'none',
      refusals: [],
      samples: () => ['500ms', '10s', '2m', '1.5'].map(bytes),
    },
    {
      name: 'daemon.json',
      decode: (input) => readSocketPath(textFrom(input)),
      encode: (socket: string) => bytes(JSON.stringify({ socket })),
      refusals: ['DaemonUnreachableError'],
      samples: () => [
        bytes(
          JSON.stringify({
            pid: 1,
            socket: '/tmp/x/control.sock',
            http: 'http://127.0.0.1:1',
            tokenFile: '/t',
          }),
        ),
      ],
      // What a crash leaves, and JSON that is no object.
      regressions: ['', '7b22736f636b', '6e756c6c', '7b22736f636b6574223a317d'],
    },
  ],
};
