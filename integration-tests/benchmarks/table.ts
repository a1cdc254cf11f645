import { median } from './figure.ts';
import type { Measured } from './figure.ts';

function shown(value: number): string {
  if (value >= 1000) return Math.round(value).toLocaleString('en');
  return value >= 10 ? value.toFixed(1) : value.toFixed(2);
}

function spread(values: readonly number[]): string {
  return values.length === 1 ? '' : ` (${shown(Math.min(...values))} to ${shown(Math.max(...values))})`;
}

/** The figures as a table for people: ours, each floor, the ratio, and whether it reaches what was asked for. */
export function table(measured: readonly Measured[]): string {
  const lines: string[] = [];
  for (const { name, unit, ours, floors } of measured) {
    lines.push(name, `    ours   ${shown(median(ours))} ${unit}${spread(ours)}`);
    for (const floor of floors) {
      const reach =
        floor.reach === null
          ? ''
          : `, asked ${shown(floor.reach)}: ${floor.reached === true ? 'reached' : 'NOT reached'}`;
      lines.push(
        `    floor  ${shown(median(floor.values))} ${unit}${spread(floor.values)}  ${floor.name}`,
        `    ratio  ${floor.ratio.toFixed(3)}${reach}`,
      );
    }
  }
  return lines.join('\n');
}

/** The same as Markdown, for docs/figures.md. */
export function markdown(measured: readonly Measured[]): string {
  const rows = measured.flatMap(({ name, unit, ours, floors }) => {
    const own = `${shown(median(ours))} ${unit}`;
    if (floors.length === 0) return [[name, own, '', '', '']];
    return floors.map((floor, index) => [
      index === 0 ? name : '',
      index === 0 ? own : '',
      `${shown(median(floor.values))} ${unit}: ${floor.name}`,
      floor.ratio.toFixed(2),
      floor.reach === null
        ? ''
        : `${shown(floor.reach)}, ${floor.reached === true ? 'reached' : '**not reached**'}`,
    ]);
  });
  const head = ['figure', 'Tincan', 'floor', 'ratio', 'asked'];
  return [head, head.map(() => '---'), ...rows].map((cells) => `| ${cells.join(' | ')} |`).join('\n');
}
