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
