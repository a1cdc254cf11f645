import type { AttackTarget } from './attack.ts';
import { LATENCY_RATIO } from './hostile-limits.ts';

/** Milliseconds; undefined where nothing succeeded or failed. */
export interface Latency {
  p50: number | undefined;
  p99: number | undefined;
}

/** One attack on one program. */
export interface HostileRow {
  attack: string;
  against: AttackTarget['by'];
  /** What the honest do that this program has a part in, by name. */
  honest: Record<string, { quiet: Latency; attacked: Latency; ratio: number | undefined }>;
  /** The worst of the ratios of the p99. */
  ratio: number | undefined;
  quietCpuShare: number;
  cpuShare: number;
  /** Heap and buffers of the main thread, garbage collected. */
  beforeBytes: number;
  peakRssBytes: number;
  /** The same, when the attack is over. */
  afterBytes: number;
  beforeHandles: number;
  peakHandles: number;
  afterHandles: number;
  /** What the attackers did. */
  counts: Record<string, number>;
  /** Honest requests that failed, by reason. */
  failed: Record<string, number>;
  /** Limits that did not hold. */
  broken: string[];
}

export interface HostileReport {
  seed: number;
  /** Whether attackers had another core than their victims. */
  apart: boolean;
  rows: HostileRow[];
  /** What is wrong beyond a row: messages lost, errors in a log, a program that ended. */
  broken: string[];
}

const mebibytes = (bytes: number): string => (bytes / 1024 / 1024).toFixed(0);
const shown = (ms: number | undefined): string => (ms === undefined ? '-' : ms.toFixed(1));

/** The figures as Markdown, a row for each attack and what suffered most under it. */
export function hostileTable({ seed, apart, rows, broken }: HostileReport): string {
  const head = [
    'attack',
    'against',
    'quiet p99 ms',
    'attacked p99 ms',
    'ratio',
    'peak MiB',
    'held before, after MiB',
    'peak handles',
    'CPU quiet',
    'CPU',
    'limits',
  ];
  const cells = rows.map((row) => {
    const worst = Object.entries(row.honest).find(([, { ratio }]) => ratio === row.ratio);
    const figures = worst?.[1];
    return [
      row.attack,
      row.against,
      `${shown(figures?.quiet.p99)} (${worst?.[0] ?? '-'})`,
      shown(figures?.attacked.p99),
      row.ratio === undefined
        ? '-'
        : `${row.ratio.toFixed(1)}${row.ratio > LATENCY_RATIO ? ' **over**' : ''}`,
      mebibytes(row.peakRssBytes),
      `${mebibytes(row.beforeBytes)}, ${mebibytes(row.afterBytes)}`,
      `${row.peakHandles}`,
      `${(row.quietCpuShare * 100).toFixed(0)} %`,
      `${(row.cpuShare * 100).toFixed(0)} %`,
      row.broken.length === 0 ? 'held' : `**${row.broken.join('; ')}**`,
    ];
  });
  const lines = [head, head.map(() => '---'), ...cells].map((row) => `| ${row.join(' | ')} |`);
  const where = apart
    ? 'attackers and victims on cores of their own'
    : 'attackers and victims on the same cores';
  return [`seed ${seed}, ${where}`, '', ...lines, ...broken.map((what) => `- ${what}`)].join('\n');
}
