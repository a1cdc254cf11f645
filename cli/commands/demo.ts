import { runDemo } from '../demo.ts';
import { runTour } from '../tour.ts';

/** `tincan demo`: the tour where nobody can type, else the chat with the echo bot. */
export async function run({ tour }: { tour: boolean }): Promise<number> {
  return tour || !process.stdin.isTTY || !process.stdout.isTTY ? runTour() : runDemo();
}
