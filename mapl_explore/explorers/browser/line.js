// The line to Python: what a person does goes there, and the answer comes with the picture.

const PATIENCE = 3000; // ms without an answer from Python, after which the banner says so
const AHEAD = 2; // messages without an answer: while the browser draws one answer, Python computes the next

// So many messages are on their way at a time, the others wait in a row; a newer value of a knob takes the place of the
// one before it, so that a drag never queues.
class Line {
  constructor(model, silent, answered) {
    // Two windows may show one explorer: each looks for its own answers.
    Object.assign(this, { model, silent, answered, id: Math.random().toString(36).slice(2), count: 0, sent: new Map(), queue: [] });
    this.answer = () => this.done(model.get("answer"));
    model.on("change:answer", this.answer);
  }

  get busy() {
    return this.sent.size > 0;
  }

  say(message) {
    if (this.sent.size < AHEAD) return this.send(message);
    const last = this.queue.at(-1);
    if (last?.kind === "set" && message.kind === "set" && last.knob === message.knob) this.queue.pop();
    this.queue.push(message);
  }

  send(message) {
    const serial = `${this.id}-${++this.count}`;
    this.sent.set(serial, message);
    this.wait();
    try {
      this.model.send({ ...message, serial });
    } catch {
      this.lost();
    }
  }

  wait() {
    clearTimeout(this.timer);
    if (this.busy) this.timer = setTimeout(() => this.lost(), PATIENCE);
  }

  done({ serial, error }) {
    if (!serial?.startsWith(this.id)) return;
    this.silent(false); // also where an answer comes late
    const message = this.sent.get(serial);
    if (!this.sent.delete(serial)) return;
    this.wait();
    this.answered(message, error);
    if (this.queue.length) this.send(this.queue.shift());
    else if (!this.busy) this.idle?.();
  }

  lost() {
    clearTimeout(this.timer);
    this.sent.clear();
    this.queue = [];
    this.silent(true);
    this.idle?.();
  }

  end() {
    clearTimeout(this.timer);
    this.model.off("change:answer", this.answer);
  }
}
